/** What a line may be logged as, for `target=level` in RUST_LOG and /logging; `ztunnel` is all that begins with it as well. */
export const LOG_TARGETS: readonly string[] = [
  'access',
  'ztunnel',
  'ztunnel::crl',
  'ztunnel::identity',
  'ztunnel::inpod',
  'ztunnel::state',
]
