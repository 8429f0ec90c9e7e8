/**
 * How a program is run so that nothing it does to the network reaches the machine: in a network namespace and a mount
 * namespace of its own, with an empty /run, so that named namespaces (/run/netns) stay inside too.
 */
import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { fail, which } from './tools.mjs'

const flags = {
  root: ['--net', '--mount', '--propagation', 'private'],
  user: ['--user', '--map-root-user', '--net', '--mount', '--propagation', 'private'],
}

// "ip" is not part of every installation; without it the loopback device stays down, and tests that compare with ip skip.
const setUp = 'mount -t tmpfs -o mode=755 tmpfs /run && { ip link set lo up 2>/dev/null || true; } && exec "$@"'

/** The command before the command: `[...prefix(kind), program, ...arguments]`. Empty for 'none'. */
export function prefix(kind) {
  return kind === 'none' ? [] : ['unshare', ...flags[kind], 'sh', '-c', setUp, 'sh']
}

/**
 * What is possible here, found by trying: 'root' (this user may create namespaces), 'user' (only inside a user namespace,
 * where it is root), or 'none', with what unshare(1) said.
 */
export function chooseIsolation() {
  let reason = ''
  for (const kind of process.getuid() === 0 ? ['root', 'user'] : ['user']) {
    const [program, ...args] = [...prefix(kind), 'true']
    const { status, error, stderr } = spawnSync(program, args, { encoding: 'utf8' })
    if (status === 0) return { kind, reason: '' }
    reason = error ? error.message : stderr.trim()
  }
  return { kind: 'none', reason }
}

function sysctl(name) {
  try {
    return readFileSync(`/proc/sys/${name}`, 'utf8').trim()
  } catch {
    return undefined
  }
}

/** What the user can do about 'none', one line each. */
export function advice() {
  const lines = []
  if (!which('unshare')) lines.push('install util-linux, which has unshare(1)')
  if (sysctl('kernel/unprivileged_userns_clone') === '0') lines.push('sysctl -w kernel.unprivileged_userns_clone=1')
  if (sysctl('user/max_user_namespaces') === '0') lines.push('sysctl -w user.max_user_namespaces=10000')
  if (sysctl('kernel/apparmor_restrict_unprivileged_userns') === '1') {
    lines.push('sysctl -w kernel.apparmor_restrict_unprivileged_userns=0')
  }
  if (lines.length === 0)
    lines.push('in a container: start it with CAP_SYS_ADMIN and CAP_NET_ADMIN (docker run --privileged)')
  lines.push('or run as root')
  return lines
}

/** The prefix of what is possible here; ends the script where nothing is. */
export function requiredPrefix() {
  const { kind, reason } = chooseIsolation()
  if (kind === 'none') fail(`no network namespace can be made (${reason}); what helps:\n  ${advice().join('\n  ')}`)
  return prefix(kind)
}
