/** A mesh of one workload with its policy and its service. */
export const FILE = `
workloads:
  - uid: cluster1//v1/Pod/default/local
    name: local
    namespace: default
    serviceAccount: default
    workloadIps: ["127.0.0.1", "::ffff:10.0.0.1", "FD00::1"]
    protocol: HBONE
    node: local
    network: ""
    capacity: 3
    locality: { region: r, zone: z, subzone: s }
    authorizationPolicies: [default/p]
    applicationTunnel: { protocol: PROXY, port: 15088 }
    waypoint: { destination: /10.0.0.9, hboneMtlsPort: 15008 }
    services:
      "default/example.com":
        80: 8080
policies:
  - name: p
    namespace: default
    scope: WorkloadSelector
    action: Deny
    dryRun: false
    rules:
      - - - principals: [!Exact cluster.local/ns/default/sa/a, !Prefix "x", {Suffix: "y"}, !Presence []]
            notSourceIps: ["10.0.0.0/8"]
            destinationPorts: [80]
services:
  - name: example
    namespace: default
    hostname: example.com
    vips: [/10.96.0.1, net/10.96.0.2]
    ports: { 80: 8080 }
    subjectAltNames: [spiffe://a/ns/b/sa/c]
    loadBalancer: { routingPreferences: [Region, Zone], mode: Failover, healthPolicy: OnlyHealthy }
    waypoint: { destination: default/gw.example.com, hboneMtlsPort: 15008 }
`

/** Of the workload of this number in `workloads`. */
export function addressOf(index: number): string {
  return `10.${index >> 16}.${(index >> 8) & 255}.${index & 255}`
}

/** The lines of so many workloads. */
export function workloads(count: number): string {
  const lines = Array.from(
    { length: count },
    (_, index) => `  - uid: cluster1//Pod/default/w${index}
    name: w${index}
    namespace: default
    serviceAccount: client
    protocol: HBONE
    workloadIps: [${addressOf(index)}]
    services:
      default/server.default.svc.cluster.local: { 80: 8080 }
`,
  )
  return `workloads:\n${lines.join('')}`
}
