import type { Pod, TestMesh } from '../kit/index.ts'

/** Below the ephemeral range of the pods (see stage.ts), so that nothing else can hold them. */
export const BULK_PORT = 5_201
/** Several, because new connections to a single one run out of client ports. */
export const WEB_PORTS = [8_001, 8_002, 8_003, 8_004] as const
export const APPLICATION_PORTS: readonly number[] = [BULK_PORT, ...WEB_PORTS]

/** A small answer at / and 1 KB at /kilobyte. */
export function startApplications(mesh: TestMesh, pod: Pod): void {
  const { directory } = mesh.files
  const config = mesh.files.write(
    `nginx-${pod.name}.conf`,
    `daemon off; master_process off; pid ${directory}/nginx-${pod.name}.pid; error_log stderr crit; user root;
worker_rlimit_nofile 65536;
events { worker_connections 65536; }
http {
  access_log off; keepalive_requests 100000000; keepalive_timeout 600; client_header_timeout 600;
  client_body_temp_path ${directory}; proxy_temp_path ${directory}; fastcgi_temp_path ${directory};
  uwsgi_temp_path ${directory}; scgi_temp_path ${directory};
  server {
    ${WEB_PORTS.map((port) => `listen ${port} backlog=4096;`).join(' ')}
    location / { default_type text/plain; return 200 "ok\\n"; }
    location /kilobyte { default_type text/plain; return 200 "${'k'.repeat(1_023)}\\n"; }
  }
}
`,
  )
  pod.start('nginx', ['nginx', '-c', config, '-p', directory])
  pod.start('iperf3', ['iperf3', '-s', '-p', String(BULK_PORT)])
}
