/**
 * Closes a listener once nothing waits in its queue any more. libuv accepts one connection in each poll phase, so a turn of the
 * loop without a new one means that the queue is empty. New arrivals cannot hold it open for ever: `mostTurns` bounds it.
 */
export function closeWhenQuiet(countAccepts: () => number, close: () => unknown, mostTurns: number): void {
  const before = countAccepts()
  // The first immediate may come before the next poll phase, the second comes after one.
  setImmediate(() =>
    setImmediate(() => {
      if (countAccepts() === before || mostTurns <= 0) close()
      else closeWhenQuiet(countAccepts, close, mostTurns - 1)
    }),
  )
}
