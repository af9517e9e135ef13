import type { CredentialFiles } from '../kit/credentials.ts'

/** Envoy's own names of things, as its configuration wants them. */
const TYPES = 'type.googleapis.com/envoy.extensions'
const WINDOWS = { initial_stream_window_size: 4_194_304, initial_connection_window_size: 16_777_216 }

interface TlsOptions {
  readonly credentials: CredentialFiles
  /** The one SPIFFE ID that the peer's certificate may have; left out: whoever has a certificate of the root. */
  readonly peerIdentity?: string | undefined
  /** Left out: those that Envoy offers by itself. */
  readonly curves?: readonly string[] | undefined
  /** A line of JSON on standard output for each stream that has ended, with these keys: Envoy's names of what to tell. */
  readonly accessLog?: Readonly<Record<string, string>> | undefined
}

/** A part of Envoy's configuration. */
export type Configuration = Readonly<Record<string, unknown>>

/** tcp_proxy that tunnels each port over CONNECT to the peer. */
export function envoyClient(
  options: TlsOptions & {
    readonly listenHost: string
    readonly peer: { readonly host: string; readonly port: number }
    readonly targetHost: string
    readonly ports: readonly (readonly [listen: number, target: number])[]
  },
): Configuration {
  const { listenHost, peer, targetHost, ports } = options
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
                  ...accessLog(options),
                  tunneling_config: { hostname: authority(targetHost, target) },
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
              common_tls_context: tlsContext(options),
            },
          },
        },
      ],
    },
  }
}

/** Takes CONNECT and opens TCP to the target that is named. */
export function envoyServer(
  options: TlsOptions & {
    readonly listenHost: string
    readonly port: number
    readonly targetHost: string
    /** Further addresses by which clients may name the target. */
    readonly aliases?: readonly string[]
    readonly targets: readonly number[]
    /** Afterwards the client is told to go away (GOAWAY). */
    readonly maxStreamsOfConnection?: number | undefined
  },
): Configuration {
  const { listenHost, port, targetHost, aliases = [], targets, maxStreamsOfConnection } = options
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
                  common_tls_context: tlsContext(options),
                },
              },
              filters: [
                {
                  name: 'envoy.filters.network.http_connection_manager',
                  typed_config: {
                    '@type': `${TYPES}.filters.network.http_connection_manager.v3.HttpConnectionManager`,
                    stat_prefix: 'hbone',
                    codec_type: 'HTTP2',
                    ...accessLog(options),
                    ...(maxStreamsOfConnection === undefined
                      ? {}
                      : { common_http_protocol_options: { max_requests_per_connection: maxStreamsOfConnection } }),
                    http2_protocol_options: { ...WINDOWS, allow_connect: true },
                    upgrade_configs: [{ upgrade_type: 'CONNECT' }],
                    route_config: {
                      virtual_hosts: targets.map((target) => ({
                        name: `app-${target}`,
                        domains: [targetHost, ...aliases].map((host) => authority(host, target)),
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

function tlsContext({ credentials: { root, chain, key }, peerIdentity, curves }: TlsOptions): Configuration {
  return {
    alpn_protocols: ['h2'],
    tls_params: {
      tls_minimum_protocol_version: 'TLSv1_3',
      // Said, because Envoy's clients stop at 1.2 otherwise.
      tls_maximum_protocol_version: 'TLSv1_3',
      ...(curves ? { ecdh_curves: curves } : {}),
    },
    tls_certificates: [{ certificate_chain: { filename: chain }, private_key: { filename: key } }],
    validation_context: {
      trusted_ca: { filename: root },
      ...(peerIdentity === undefined
        ? {}
        : { match_typed_subject_alt_names: [{ san_type: 'URI', matcher: { exact: peerIdentity } }] }),
    },
  }
}

function accessLog({ accessLog: keys }: TlsOptions): Configuration {
  if (keys === undefined) return {}
  const type = `${TYPES}.access_loggers.stream.v3.StdoutAccessLog`
  return {
    access_log: [
      {
        name: 'envoy.access_loggers.stdout',
        typed_config: { '@type': type, log_format: { json_format: keys } },
      },
    ],
  }
}

function cluster(name: string, host: string, port: number): Configuration {
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

function socketAddress(address: string, port: number): Configuration {
  return { socket_address: { address, port_value: port, ...(address === '::' ? { ipv4_compat: true } : {}) } }
}

function authority(host: string, port: number): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`
}
