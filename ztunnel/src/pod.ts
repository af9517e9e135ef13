/** Who a pod is; with PROXY_MODE=dedicated the one pod that the proxy serves. */
export interface PodIdentity {
  readonly name: string
  readonly namespace: string
  readonly serviceAccount: string
}

/** A captured pod as the worker processes know it. */
export interface Pod extends PodIdentity {
  /** Unique for the life of this pod on this node. */
  readonly uid: string
}

/** A pod to capture and where its network namespace is. */
export interface PodPlace extends Pod {
  /** Path of the network namespace, such as /run/netns/x. */
  readonly netns: string
}

/** How logs tell a pod, or the workload that may be one. */
export function nameOf({ namespace, name }: Pick<PodIdentity, 'namespace' | 'name'>): string {
  return `${namespace}/${name}`
}
