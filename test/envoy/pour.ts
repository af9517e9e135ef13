import type { Talker } from '../kit/index.ts'

/** One end of a connection: who has it, and what it is called there. */
export type End = readonly [talker: Talker, name: string]

/**
 * One end pours bytes and ends its half. Answers what it sent and what the other end had received when that heard of the end,
 * each as `BYTES SHA256`; with an echo both ends are the same.
 */
export async function pour(from: End, to: End, bytes: number): Promise<readonly [sent: string, received: string]> {
  const [sender, name] = from
  sender.pour(name, bytes)
  const sent = await sender.heard(name, /^(poured|error)/)
  sender.end(name)
  const [receiver, itsName] = to
  const received = await receiver.heard(itsName, /^(ended|error)/)
  return [sent.replace('poured ', ''), received.replace('ended ', '')]
}
