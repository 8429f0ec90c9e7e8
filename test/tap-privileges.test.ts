/** What an open says when the machine or the process's privileges do not allow it. */
import { test } from 'tap'
import { needs } from './support/needs.js'
import { askProgram } from './support/program.js'

const own = await needs('namespaces', 'tun', 'setpriv', 'unshare')
const root = await needs('root', 'namespaces', 'tun', 'ip', 'setpriv', 'unshare')

/** Opens a tap with these options, in the namespace that the program is started in. */
const opening = (options: object) => `
  import { openTap } from './dist/index.js'
  const report = ({ name, code, syscall, message, hint }) => ({ name, code, syscall, message, hint })
  const tap = await openTap(${JSON.stringify(options)}).catch(report)
  console.log(JSON.stringify(tap.code ? tap : { opened: tap.name }))
  await tap.close?.()
`

/** Runs it in namespaces of its own, after a shell script in which "$@" is the program. */
const inside = (script: string) => ({ wrapper: ['unshare', '--net', '--mount', 'sh', '-c', script, 'sh'] })
const withoutCapability = 'exec setpriv --bounding-set=-net_admin --inh-caps=-net_admin "$@"'

test('no /dev/net/tun', own, async (t) => {
  const error = await askProgram(opening({}), inside('mount -t tmpfs none /dev/net && exec "$@"'))
  t.match(error, { name: 'NetkitError', code: 'ENOENT', syscall: 'open' })
  t.equal(
    error.message,
    'cannot open /dev/net/tun: no such file or directory (ENOENT, open); ' +
      'load the tun module (modprobe tun), or pass the device into the container (--device /dev/net/tun)',
  )
})

test('a /dev/net/tun without a driver', root, async (t) => {
  const error = await askProgram(
    opening({}),
    inside('mount -t tmpfs none /dev/net && mknod /dev/net/tun c 10 254 && exec "$@"'),
  )
  t.match(error, { code: /^(ENODEV|ENXIO)$/, syscall: 'open', hint: /^load the tun module/ })
})

test('a /dev/net/tun that the user may not open', root, async (t) => {
  const script = 'mount -t tmpfs none /dev/net && mknod -m 600 /dev/net/tun c 10 200 && exec setpriv --reuid 65534 "$@"'
  const error = await askProgram(opening({}), inside(script))
  t.match(error, { code: 'EACCES', syscall: 'open', hint: /^this process \(user 65534\) may not open it/ })
})

test('no CAP_NET_ADMIN', own, async (t) => {
  const error = await askProgram(opening({ name: 'tap7' }), inside(withoutCapability))
  t.match(error, {
    name: 'NetkitError',
    code: 'EPERM',
    syscall: 'TUNSETIFF',
    hint: /lacks CAP_NET_ADMIN in user namespace/,
  })
  t.match(error.message, /^cannot open tap tap7: operation not permitted \(EPERM, TUNSETIFF\); this process lacks/)
})

test('the owner of a persistent interface needs no capability', root, async (t) => {
  const made = (owner: number) => `ip tuntap add dev tap7 mode tap user ${owner} && ${withoutCapability}`
  t.same(await askProgram(opening({ name: 'tap7' }), inside(made(0))), { opened: 'tap7' })
  const error = await askProgram(opening({ name: 'tap7' }), inside(made(4321)))
  t.match(error, { code: 'EPERM', syscall: 'TUNSETIFF' }, 'and anyone else does')
  const change = await askProgram(opening({ name: 'tap7', mtu: 1400 }), inside(made(0)))
  t.match(change, { code: 'EPERM', syscall: 'RTM_NEWLINK' }, 'setting it up does as well')
})
