/** The table in a pod's namespace; ours alone, so nothing of the pod's own is touched. */
export const IN_POD_TABLE = 'ambit-inpod'

/** Its chains that take new connections; without their rules those that are open stay on their way. */
export const CAPTURING_CHAINS = ['inbound', 'outbound']

/** Kubelet probes come from these addresses (the node's rules see to that) and pass untouched; Istio's numbers. */
export const PROBE_ADDRESS_V4 = '169.254.7.127'
/** As PROBE_ADDRESS_V4. */
export const PROBE_ADDRESS_V6 = 'fd16:9254:7127:1337:ffff:ffff:ffff:ffff'

/**
 * Local in a pod (see loopbackRouting): where its IPv6 connections are redirected to; IPv4 has 127.0.0.0/8. To the kernel it is
 * no loopback address, so the rules drop what comes for it, or from it, from elsewhere. Who is outside could otherwise put words
 * into a connection of the application by a packet that looks like the proxy's, and be served by an address that policy does not
 * know for the pod's.
 */
export const CAPTURE_PREFIX_V6 = 'fd16:9254:7127:1501::'

/** The bits of a packet's mark that the rules look at, as Istio's do: the others are free for whoever else marks packets. */
export const MARK_MASK = 0xfff
/** The mark of packets that answer a connection which the proxy dialled. */
export const CONNECTION_MARK = 0x111
/**
 * Set beside the proxy's mark, above the bits that Istio's rules compare, where it dials from an address that is not the pod's.
 * So the rules know those connections at the price of a comparison: `fib saddr type` told them too, and cost each packet of
 * every tunnel 0.4 µs.
 */
export const FOREIGN_SOURCE = 0x1000
/**
 * Set beside CONNECTION_MARK on a connection that the proxy dialled out of the pod, for one that the pod forwards. Answers of
 * all others come over lo, and who is outside could put words into them: IPv6 takes packets from its own addresses from anybody.
 */
const ONWARD = 0x1000

/**
 * The redirection of one pod, IPv4 and IPv6: the chains of IN_POD_TABLE. The same effect as Istio's in-pod rules, and two things
 * they lack for what the proxy dials from its client's address:
 *
 * - A conntrack zone of its own. Without it a connection hangs whenever the kernel picks, for the proxy's leg, a port that the
 *   same client already uses towards the same port (tried: equal ports hang 3 s).
 * - Answers that come from elsewhere go to the proxy too. They are for the client's address, so a pod that forwards packets
 *   would send them there: what it forwards comes to 15006, and with Istio's rules the dial onward times out after 10 s.
 *   A loop of routes makes no loop of connections: answers of the second visit go straight to the client, which resets them.
 *
 * Every packet over lo passes these chains, so they are few and their first test fails for most: a packet keeps its conntrack
 * entry over lo, so all that is to be known of the proxy's leg is noted once, on the way out. Only the application's packets
 * are routed back: routing the proxy's own ones again cost 6 % of its time at 64 connections' requests.
 *
 * Where tcp_fwmark_accept is on (see Redirection), an accepted socket takes over the mark of what it accepts, so what the proxy
 * dials over lo arrives with the mark of the answers, and the socket routes right from the start. Routed twice, each of its
 * packets cost 1 µs: 16 % of the requests at 64 connections, 20 % of one bulk stream. Sockets with a mark of their own, and
 * those accepted before, are routed back by the rules. All packets get that mark, for with SYN cookies it is not the SYN's that
 * counts. Never the proxy's own: an application keeps it over connect(AF_UNSPEC), and would leave its capture by it. Nor one of
 * the pod's own rules (TPROXY), which look at it before and do not count on sockets that have it.
 */
export function inPodRules(packetMark: number): string {
  const mark = packetMark & MARK_MASK
  const [own, mask, connection, foreign, foreignMask, onward, answersOnward, onwardMask] = [
    mark,
    MARK_MASK,
    CONNECTION_MARK,
    mark | FOREIGN_SOURCE,
    MARK_MASK | FOREIGN_SOURCE,
    ONWARD,
    CONNECTION_MARK | ONWARD,
    MARK_MASK | ONWARD,
  ].map((number) => `0x${number.toString(16)}`)
  return `  chain zone {
    type filter hook output priority raw; policy accept;
    meta mark & ${foreignMask} == ${foreign} ct original zone set 2
  }
  chain route_back {
    type route hook output priority mangle; policy accept;
    comment "notes a connection that the proxy dials from a foreign address; the application's answers on it go back to the proxy over lo"
    meta mark & ${mask} == ${connection} accept
    meta mark & ${foreignMask} == ${foreign} ct state new ct mark set ct mark & 0xffffe000 | ${connection}
    oif != "lo" meta mark & ${foreignMask} == ${foreign} ct state new ct mark set ct mark | ${onward}
    meta mark & ${mask} != ${own} ct mark & ${mask} == ${connection} meta mark set ct mark
  }
  chain take_back {
    type filter hook prerouting priority mangle; policy accept;
    comment "answers on a connection that the proxy dialled onward go to the proxy, not to the foreign address"
    iif "lo" accept
    ip6 saddr ${CAPTURE_PREFIX_V6}/64 drop comment "lo's alone, as ::1 is"
    ip6 daddr ${CAPTURE_PREFIX_V6}/64 drop
    ct mark & ${onwardMask} == ${answersOnward} meta mark set ct mark
  }
  chain inherit {
    type filter hook input priority 300; policy accept;
    comment "the mark that an accepted socket takes over: that of the answers where the proxy dialled, none otherwise"
    meta mark 0 accept
    iif "lo" meta mark & ${mask} == ${own} meta mark set meta mark & 0xfffff000 | ${connection} accept
    meta mark & ${mask} == ${connection} accept
    meta l4proto tcp meta mark set 0
  }
  chain inbound {
    type nat hook prerouting priority dstnat; policy accept;
    ip saddr ${PROBE_ADDRESS_V4} meta l4proto tcp accept
    ip6 saddr ${PROBE_ADDRESS_V6} meta l4proto tcp accept
    ip daddr 127.0.0.0/8 accept
    ip6 daddr ::1 accept
    meta mark & ${mask} != ${own} tcp dport != 15008 redirect to :15006
  }
  chain outbound {
    type nat hook output priority -100; policy accept;
    ip daddr ${PROBE_ADDRESS_V4} accept
    ip6 daddr ${PROBE_ADDRESS_V6} accept
    ip6 daddr fe80::/10 accept comment "redirected to lo it would be bound to its link still, and hang"
    oifname "lo" accept
    meta mark & ${mask} == { ${own}, ${connection} } accept
    ip6 saddr ${CAPTURE_PREFIX_V6}/64 drop comment "as from 127.0.0.0/8; each address would have tunnels of its own"
    ${captureRules().join('\n    ')}
  }
`
}

/** The bits of a port that count. Ports in a row differ in them, and so do 80 and 8080, 443 and 8443, which go together often. */
const PORT_BITS = 0x43
const PORT_KINDS = [0x00, 0x01, 0x02, 0x03, 0x40, 0x41, 0x42, 0x43]

/**
 * To port 15001 of one of many loopback addresses: which, the destination's address and port say. With one for all, as with
 * `redirect`, two connections from one port of the application become the same to the kernel until conntrack forgets the first
 * (120 s after its end). It gives the second another port while there is one: 64 k connections, 424 from ports below 1024.
 * After that connections hang. The last of the rules costs a new connection 0.4 µs.
 */
function captureRules(): readonly string[] {
  return PORT_KINDS.map((kind) => `tcp dport & ${PORT_BITS} == ${kind}`).flatMap((ports, n) => [
    `${ports} dnat ip to ip daddr & 0.0.255.255 | 127.${n + 1}.0.0:15001`,
    `${ports} dnat ip6 to ip6 daddr & ::ffff:ffff:ffff | ${CAPTURE_PREFIX_V6.replace('::', `:${n + 1}::`)} : 15001`,
  ])
}
