// The programs of bench/netlink.mjs: compiled where what they need is installed, and otherwise named with the reason.
import { execFileSync } from 'node:child_process'
import { existsSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { host, steps } from './names.mjs'

const file = (path) => fileURLToPath(new URL(path, import.meta.url))
const quiet = (program, args, options) =>
  execFileSync(program, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'], ...options })

/** Runs a program in a namespace; what it prints. */
const inside = (namespace, program, args, options) => namespace.run(() => quiet(program, args, options))

/** A program that is told the work and the count, and prints milliseconds. `scale`: it does a part of the work, and that counts so many times. */
const printing = (program, args, { scale = 1, scaled = [] } = {}) => ({
  print: (namespace, work, count) => inside(namespace, program, [...args, work, String(count)]),
  run(namespace, work, count) {
    const factor = scaled.includes(work) ? scale : 1
    const least = Math.max(1, Math.round(count / factor))
    return (count / least) * Number(inside(namespace, program, [...args, work, String(least)]))
  },
})

function iproute2(folder) {
  const version = quiet('ip', ['-V']).trim()
  const batch = (namespace, lines) => {
    const path = join(folder, 'batch')
    writeFileSync(path, `${lines.join('\n')}\n`)
    return elapsed(() => inside(namespace, 'ip', ['-batch', path]))
  }
  const list = (namespace, ...words) =>
    elapsed(() => namespace.run(() => execFileSync('ip', ['-j', ...words], { stdio: 'ignore' })))
  const works = {
    veth: (namespace, count) => batch(namespace, Array.from({ length: count }, (_, i) => steps(i)).flat()),
    'add-routes': (namespace, count) =>
      batch(
        namespace,
        Array.from({ length: count }, (_, i) => `route add ${host(i)} via 192.168.77.2 dev v0`),
      ),
    'dump-routes': (namespace) => list(namespace, '-4', 'route', 'show'),
    'dump-links': (namespace) => list(namespace, '-s', 'link', 'show'),
  }
  return {
    title: `iproute2 (${version.replace(/^ip utility, /, '')})`,
    works: Object.keys(works),
    run: (namespace, work, count) => works[work](namespace, count),
  }
}

function elapsed(action) {
  const start = performance.now()
  action()
  return performance.now() - start
}

const all = ['veth', 'add-routes', 'dump-routes', 'dump-links', 'event', 'one']

/** Each makes a program, or throws for want of something. */
const makers = {
  c(folder) {
    const program = join(folder, 'netlink')
    quiet('cc', ['-O2', '-o', program, file('../c/netlink.c')])
    return { title: 'C', works: all, ...printing(program, []) }
  },
  netkit: () => ({ title: 'netkit', works: all, ...printing(process.execPath, [file('netkit.mjs')]) }),
  inTurn: () => ({
    title: 'netkit, one `await` after the other',
    works: ['veth'],
    run: (namespace, work, count) =>
      Number(inside(namespace, process.execPath, [file('netkit.mjs'), `${work}-in-turn`, String(count)])),
  }),
  iproute2,
  // A tenth of the pairs, and ten times the time: this one takes seconds.
  ipSteps: () => ({
    title: 'one `ip` process a step',
    works: ['veth'],
    run: (namespace, _work, count) =>
      10 *
      elapsed(() => {
        for (let i = 0; i < count / 10; i++) for (const words of steps(i)) inside(namespace, 'ip', words.split(' '))
      }),
  }),
  libnl(folder) {
    const program = join(folder, 'libnl')
    const flags = quiet('pkg-config', ['--cflags', '--libs', 'libnl-route-3.0']).trim().split(/\s+/)
    quiet('cc', ['-O2', '-o', program, file('../peers/libnl.c'), ...flags])
    const version = quiet('pkg-config', ['--modversion', 'libnl-route-3.0']).trim()
    return { title: `libnl-route-3 (C, ${version})`, works: all, ...printing(program, []) }
  },
  vishvananda(folder) {
    const source = '/usr/share/gocode/src/github.com/vishvananda/netlink'
    if (!existsSync(source)) throw new Error('golang-github-vishvananda-netlink-dev is not installed')
    const program = join(folder, 'vishvananda')
    const env = { ...process.env, GO111MODULE: 'off', GOPATH: '/usr/share/gocode', GOCACHE: join(folder, 'go-cache') }
    quiet('go', ['build', '-o', program, file('../peers/vishvananda.go')], { env })
    return { title: 'vishvananda/netlink (Go)', works: all, ...printing(program, []) }
  },
  pyroute2() {
    quiet('/usr/bin/python3', ['-c', 'import pyroute2'])
    const scale = { scale: 50, scaled: ['add-routes'] }
    return {
      title: 'pyroute2 (Python)',
      works: all,
      ...printing('/usr/bin/python3', [file('../peers/with_pyroute2.py')], scale),
    }
  },
  rust() {
    throw new Error('its crates come from a registry, and the bench downloads nothing')
  },
}

const packages = {
  iproute2: 'iproute2',
  ipSteps: 'iproute2',
  libnl: 'libnl-route-3-dev, pkg-config',
  vishvananda: 'golang-go, golang-github-vishvananda-netlink-dev',
  pyroute2: 'python3-pyroute2',
  rust: 'the crate rtnetlink',
}

/** The programs that there are, of those named, by name, and why others are not. */
export function programsIn(folder, names = Object.keys(makers)) {
  const programs = {}
  const missing = {}
  for (const name of names) {
    const make = makers[name]
    try {
      programs[name] = make(folder)
    } catch (error) {
      if (name === 'c' || name === 'netkit') throw error
      missing[name] = `${error.message.split('\n')[0]} (needs ${packages[name]})`
    }
  }
  return { programs, missing }
}
