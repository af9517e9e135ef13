import { EVENT_ID, type Event } from 'js-yaml'

/** Values that aliases may add to what is written, all together: a few lines could name each other to billions. */
const MAX_REPEATED = 1_000_000

export interface YamlAliases {
  /** For each alias, the node that it stands for; what is wrong has none. */
  readonly targets: ReadonlyMap<number, number>
  /** With the node that has it. */
  readonly problems: readonly (readonly [node: number, sentence: string])[]
}

/** Finds what the aliases of a text stand for. `ends` has for each node the event after it. */
export function resolveAliases(text: string, events: readonly Event[], ends: Int32Array): YamlAliases {
  const anchors = new Map<string, number>()
  const targets = new Map<number, number>()
  const problems: [number, string][] = []
  /** Values before each event, with all that aliases stand for. */
  const values = new Float64Array(events.length + 1)
  let repeated = 0
  for (const [node, event] of events.entries()) {
    let size = 1
    if (event.type === EVENT_ID.ALIAS) {
      const name = text.slice(event.anchorStart, event.anchorEnd)
      const target = anchors.get(name)
      const end = target === undefined ? 0 : (ends[target] ?? 0)
      if (target === undefined) problems.push([node, `the alias *${name} names nothing before it`])
      else if (end > node) problems.push([node, `the alias *${name} names what it is in`])
      else {
        targets.set(node, target)
        size = (values[end] ?? 0) - (values[target] ?? 0)
        repeated += size
      }
      if (repeated > MAX_REPEATED) {
        problems.push([node, `the aliases up to here repeat more than ${MAX_REPEATED} values`])
        break
      }
    } else if ('anchorStart' in event && event.anchorStart >= 0) {
      // The last one of a name counts for what follows.
      anchors.set(text.slice(event.anchorStart, event.anchorEnd), node)
    }
    values[node + 1] = (values[node] ?? 0) + size
  }
  return { targets, problems }
}
