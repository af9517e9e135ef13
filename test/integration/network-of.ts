import { inside, must, type Pod } from '../kit/index.ts'

/** Rules, routes and the settings of a namespace that we touch as text, without the link-local ones that the kernel adds when it likes. */
export async function networkOf(namespace: string): Promise<string> {
  const parts = [
    ['nft', 'list', 'ruleset'],
    ['ip', 'rule'],
    ['ip', '-6', 'rule'],
    ['ip', 'route', 'show', 'table', 'all'],
    ['ip', '-6', 'route', 'show', 'table', 'all'],
    ['cat', '/proc/sys/net/ipv4/tcp_fwmark_accept'],
  ]
  const texts = await Promise.all(parts.map((words) => must([...inside(namespace), ...words])))
  const lines = texts.join('---\n').split('\n')
  return lines.filter((line) => !/fe80|ff00::|dev pod2\d\d/.test(line)).join('\n')
}

/** The ports of the proxy that have a listener in the pod, one entry for each listener. */
export async function listening(pod: Pod): Promise<readonly string[]> {
  const { stdout } = await pod.run(['ss', '-Hltn'])
  return (stdout.match(/:1500[168]\b/g) ?? []).sort()
}
