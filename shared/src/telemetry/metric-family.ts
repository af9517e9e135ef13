/** One metric as Prometheus sees it: a name with its meaning; its series differ by their labels. */
export interface MetricFamily {
  /** Without `_total`, which the samples of a counter add. */
  readonly name: string
  readonly type: 'counter' | 'gauge'
  readonly help: string
  /** Labels that every series of the family has, in order. A series may have more behind them (traffic localities). */
  readonly labels: readonly string[]
}

type Labels = MetricFamily['labels']

function counter(name: string, help: string, labels: Labels = []): MetricFamily & { readonly type: 'counter' } {
  return { name, type: 'counter', help, labels }
}

function gauge(name: string, help: string, labels: Labels = []): MetricFamily & { readonly type: 'gauge' } {
  return { name, type: 'gauge', help, labels }
}

/** Labels that say who opens a connection. */
const SOURCE_LABELS = [
  'source_workload',
  'source_canonical_service',
  'source_canonical_revision',
  'source_workload_namespace',
  'source_principal',
  'source_app',
  'source_version',
  'source_cluster',
] as const

/** Labels of everything counted per connection; the four localities follow where either end is known. */
export const TRAFFIC_LABELS = [
  'reporter',
  ...SOURCE_LABELS,
  'destination_service',
  'destination_service_namespace',
  'destination_service_name',
  'destination_workload',
  'destination_canonical_service',
  'destination_canonical_revision',
  'destination_workload_namespace',
  'destination_principal',
  'destination_app',
  'destination_version',
  'destination_cluster',
  'request_protocol',
  'response_flags',
  'connection_security_policy',
] as const

/**
 * Every metric of a proxy, by Istio's names, in the order in which they are shown. Left out on purpose: `tokio_*`, which
 * tell about Rust's runtime; `istio_dns_*` come with the DNS proxy, `istio_xds_*` with xDS.
 */
export const METRICS = {
  build: gauge('istio_build', 'Which build of the proxy runs.', ['component', 'tag']),
  opened: counter('istio_tcp_connections_opened', 'Connections opened, those refused later included.', TRAFFIC_LABELS),
  closed: counter('istio_tcp_connections_closed', 'Connections closed.', TRAFFIC_LABELS),
  received: counter('istio_tcp_received_bytes', 'Bytes in the direction of the request.', TRAFFIC_LABELS),
  sent: counter('istio_tcp_sent_bytes', 'Bytes in the direction of the response.', TRAFFIC_LABELS),
  failed: counter('istio_tcp_connections_failed', unstable('Connections that ended with a failure'), TRAFFIC_LABELS),
  socketsOpen: gauge('istio_tcp_sockets_open', unstable('Data sockets accepted and still open'), ['reporter']),
  onDemandDns: counter(
    'istio_on_demand_dns',
    unstable('Names of workloads resolved for a connection, those that were remembered included'),
    [...SOURCE_LABELS, 'hostname'],
  ),
  crlRejections: counter('istio_crl_policy_rejections', unstable('Connections closed by a revoked certificate'), [
    'reporter',
  ]),
  activeProxies: gauge('workload_manager_active_proxy_count', unstable('Pods whose traffic is carried')),
  pendingProxies: gauge('workload_manager_pending_proxy_count', unstable('Pods waiting for their listeners')),
  proxiesStarted: counter('workload_manager_proxies_started', unstable('Pods taken in')),
  proxiesStopped: counter('workload_manager_proxies_stopped', unstable('Pods let go')),
  openFds: gauge('process_open_fds', 'File descriptors open, in all processes of this program.'),
  maxFds: gauge('process_max_fds', 'File descriptors allowed, in all processes of this program.'),
} as const

/** Istio: the help of every metric that may still change says so. */
function unstable(help: string): string {
  return `${help} (unstable).`
}
