import { spawnSync } from 'node:child_process'
import { accessSync, chmodSync, constants, existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

/** The Debian package of each program. */
const PACKAGES = {
  curl: 'curl',
  dnsmasq: 'dnsmasq-base',
  h2load: 'nghttp2-client',
  ip: 'iproute2',
  iperf3: 'iperf3',
  nft: 'nftables',
  nghttp: 'nghttp2-client',
  nginx: 'nginx-light',
  openssl: 'openssl',
  ps: 'procps',
  'redis-cli': 'redis-tools',
  'redis-server': 'redis-server',
  tcpdump: 'tcpdump',
  wrk: 'wrk',
}

const POLICY = '/usr/sbin/policy-rc.d'
/** sbin is not in every user's path, but nginx, nft and tcpdump live there. */
const DIRECTORIES = [...(process.env.PATH ?? '').split(':'), '/usr/local/sbin', '/usr/sbin', '/sbin']

/** Makes sure that the programs are there: as root on Debian or Ubuntu installs their packages, otherwise names the command. */
export async function ensurePrograms(programs) {
  process.env.PATH = [...new Set(DIRECTORIES)].join(':')
  const missing = programs.filter((program) => !isThere(program))
  if (missing.length === 0) return
  const packages = [...new Set(missing.map((program) => PACKAGES[program]))]
  const words = ['install', '--yes', '--no-install-recommends', ...packages]
  const said = `apt-get update && apt-get ${words.join(' ')}`
  if (process.getuid?.() !== 0 || process.env.AMBIT_IN_USER_NAMESPACE || !isDebian()) {
    throw new Error(
      `programs are missing: ${missing.join(', ')}. Install them, on Debian or Ubuntu by: sudo sh -c '${said}'`,
    )
  }
  process.stderr.write(`ambit: installing ${packages.join(', ')} (${said})\n`)
  withoutServices(() => {
    for (const step of [['update', '-qq'], words]) {
      const { status } = spawnSync('apt-get', step, {
        stdio: ['ignore', 2, 2],
        env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' },
      })
      if (status !== 0) throw new Error(`apt-get ${step[0]} failed; try: ${said}`)
    }
  })
}

/** Debian starts a service when its package is installed; a policy file forbids that. */
function withoutServices(install) {
  const hadPolicy = existsSync(POLICY)
  if (!hadPolicy) {
    writeFileSync(POLICY, '#!/bin/sh\nexit 101\n')
    chmodSync(POLICY, 0o755)
  }
  try {
    install()
  } finally {
    if (!hadPolicy) rmSync(POLICY, { force: true })
  }
}

function isThere(program) {
  return DIRECTORIES.some((directory) => {
    try {
      accessSync(join(directory, program), constants.X_OK)
      return true
    } catch {
      return false
    }
  })
}

function isDebian() {
  if (!existsSync('/etc/os-release')) return false
  return /^(ID|ID_LIKE)=.*(debian|ubuntu)/m.test(readFileSync('/etc/os-release', 'utf8'))
}
