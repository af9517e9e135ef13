/** One metric as Prometheus sees it: a name with its meaning; its series differ by their labels. */
export interface MetricFamily {
  /** Without `_total`, which the samples of a counter add. */
  readonly name: string
  readonly type: 'counter' | 'gauge'
  readonly help: string
  /** Labels that every series of the family has, in order. A series may have more behind them (traffic localities). */
  readonly labels: readonly string[]
}

function stable(type: MetricFamily['type'], name: string, help: string, labels: readonly string[] = []): MetricFamily {
  return { name, type, help: `${help}.`, labels }
}

/** Istio: the help of every metric that may still change says so. */
function unstable(
  type: MetricFamily['type'],
  name: string,
  help: string,
  labels: readonly string[] = [],
): MetricFamily {
  return { name, type, help: `${help} (unstable).`, labels }
}

/** Labels of everything counted per connection; the four localities follow where either end is known. */
export const TRAFFIC_LABELS = [
  'reporter',
  'source_workload',
  'source_canonical_service',
  'source_canonical_revision',
  'source_workload_namespace',
  'source_principal',
  'source_app',
  'source_version',
  'source_cluster',
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
 * tell about Rust's runtime; `istio_dns_*` and `istio_on_demand_dns` come with the DNS proxy.
 */
export const METRICS = {
  build: stable('gauge', 'istio_build', 'Which build of the proxy runs', ['component', 'tag']),
  opened: stable(
    'counter',
    'istio_tcp_connections_opened',
    'Connections opened, those refused later included',
    TRAFFIC_LABELS,
  ),
  closed: stable('counter', 'istio_tcp_connections_closed', 'Connections closed', TRAFFIC_LABELS),
  received: stable(
    'counter',
    'istio_tcp_received_bytes',
    'Bytes received in the direction of the request',
    TRAFFIC_LABELS,
  ),
  sent: stable('counter', 'istio_tcp_sent_bytes', 'Bytes sent in the direction of the response', TRAFFIC_LABELS),
  failed: unstable('counter', 'istio_tcp_connections_failed', 'Connections that ended with a failure', TRAFFIC_LABELS),
  socketsOpen: unstable('gauge', 'istio_tcp_sockets_open', 'Data sockets accepted and still open', ['reporter']),
  crlRejections: unstable(
    'counter',
    'istio_crl_policy_rejections',
    'Connections closed because a certificate was revoked',
    ['reporter'],
  ),
  xdsTerminations: unstable(
    'counter',
    'istio_xds_connection_terminations',
    'Ends of the stream to the control plane, by cause',
    ['reason'],
  ),
  xdsMessages: unstable('counter', 'istio_xds_message', 'Messages received from the control plane', ['url']),
  xdsBytes: unstable('counter', 'istio_xds_message_bytes', 'Bytes of resources received from the control plane', [
    'url',
  ]),
  activeProxies: unstable('gauge', 'workload_manager_active_proxy_count', 'Pods whose traffic is carried'),
  pendingProxies: unstable('gauge', 'workload_manager_pending_proxy_count', 'Pods waiting for their listeners'),
  proxiesStarted: unstable('counter', 'workload_manager_proxies_started', 'Pods taken in'),
  proxiesStopped: unstable('counter', 'workload_manager_proxies_stopped', 'Pods let go'),
  openFds: stable('gauge', 'process_open_fds', 'File descriptors open, of all processes of this program'),
  maxFds: stable('gauge', 'process_max_fds', 'File descriptors allowed, of all processes of this program'),
} as const satisfies Record<string, MetricFamily>
