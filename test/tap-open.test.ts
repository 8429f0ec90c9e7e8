/** Opening taps: options, names, persistence, and what is left when it fails. iproute2 is the referee. */
import { type Test, test } from 'tap'
import { NetkitError } from '../dist/errors.js'
import type { Namespace } from '../dist/namespace/namespace.js'
import { createNamespace } from '../dist/namespace/open.js'
import { openTap, type TapOptions } from '../dist/tuntap/tap.js'
import { openTun } from '../dist/tuntap/tun.js'
import { leavesNoDescriptor } from './support/counting.js'
import { needs } from './support/needs.js'
import { ip, ipDo, scratch } from './support/scratch.js'

const tun = await needs('namespaces', 'tun', 'ip')

async function names(namespace: Namespace): Promise<string[]> {
  const links = await ip(namespace, 'link')
  return links.map((link: { ifname: string }) => link.ifname).filter((name: string) => name !== 'lo')
}

type Failure = { code: string; name?: string; message?: RegExp; syscall?: string; cause?: { message: string } }

/** Checks that opening fails like this, and that it leaves neither an interface nor a descriptor. */
async function fails(
  t: Test,
  namespace: Namespace,
  options: TapOptions,
  expected: Failure,
  what: string,
): Promise<void> {
  const before = await names(namespace)
  await leavesNoDescriptor(t, what, () => t.rejects(openTap({ ...options, namespace }), expected, what))
  t.same(await names(namespace), before, `${what} leaves no interface`)
}

test('ip shows what was asked for', tun, async (t) => {
  const namespace = await scratch(t)
  // A user namespace has no other users than those that are mapped into it.
  const isRoot = (await needs('root')).skip === false
  const [owner, group] = isRoot ? [1234, 5678] : [0, 0]
  const tap = await openTap({
    namespace,
    name: 'nic7',
    addresses: ['10.0.2.1/24', 'fd00::1/64'],
    up: true,
    mtu: 1400,
    mac: '02-00-00-00-00-AA',
    owner,
    group,
  })
  const [shown] = await ip(namespace, 'address', 'show', 'dev', 'nic7')
  t.match(shown, { ifname: 'nic7', mtu: 1400, address: '02:00:00:00:00:aa' })
  t.ok(shown.flags.includes('UP'))
  t.match(shown.linkinfo, { info_kind: 'tun', info_data: { type: 'tap', pi: false, vnet_hdr: false, persist: false } })
  t.match(shown.linkinfo.info_data, isRoot ? { user: owner, group } : {})
  const addresses = shown.addr_info.map((a: { local: string; prefixlen: number }) => `${a.local}/${a.prefixlen}`)
  t.ok(addresses.includes('10.0.2.1/24') && addresses.includes('fd00::1/64'), 'both addresses')

  t.equal(tap.name, 'nic7')
  t.match(tap.link, { index: shown.ifindex, name: 'nic7', mtu: 1400, mac: '02:00:00:00:00:aa', kind: 'tun' })
  t.equal(tap.namespace, namespace)
  t.equal(tap.fds.length, 1)
  await tap.close()
  t.same(tap.fds, [], 'no descriptor when closed')
  t.same(await names(namespace), [], 'the interface goes with its descriptor')
})

test('defaults, and names that the kernel completes', tun, async (t) => {
  const namespace = await scratch(t)
  const taps = [
    await openTap({ namespace }),
    await openTap({ namespace }),
    await openTap({ namespace, name: 'a%db' }),
    await openTap({ namespace, name: 'x'.repeat(15) }),
    await openTap({ namespace, name: 'žluťoučký' }),
  ]
  const expected = ['tap0', 'tap1', 'a0b', 'x'.repeat(15), 'žluťoučký']
  t.same(
    taps.map(({ name }) => name),
    expected,
  )
  t.same((await names(namespace)).sort(), expected.sort())
  const [shown] = await ip(namespace, 'link', 'show', 'dev', 'tap0')
  t.notOk(shown.flags.includes('UP'), 'down unless asked')
  t.equal(shown.mtu, 1500)
  for (const tap of taps) await tap.close()
})

test('options that are wrong are refused before anything is made', tun, async (t) => {
  const namespace = await scratch(t)
  const value = { name: 'RangeError', code: 'ERR_INVALID_ARG_VALUE' }
  const type = { name: 'TypeError', code: 'ERR_INVALID_ARG_TYPE' }
  const range = { name: 'RangeError', code: 'ERR_OUT_OF_RANGE' }
  for (const name of [
    '',
    'x'.repeat(16),
    'ž'.repeat(8),
    'a/b',
    'a b',
    'a:b',
    'a\0b',
    '.',
    '..',
    '%',
    'a%s',
    '%d%d',
    'tap%%d',
  ]) {
    await fails(t, namespace, { name }, value, `name ${JSON.stringify(name)}`)
  }
  const wrong: [object, Failure][] = [
    [{ name: 7 }, type],
    [{ addresses: ['10.0.0.300/24'] }, value],
    [{ addresses: ['10.0.0.1/33'] }, value],
    [{ addresses: '10.0.0.1/24' }, type],
    [{ up: 1 }, type],
    [{ mtu: '1500' }, type],
    [{ mtu: -1 }, range],
    [{ mac: '02:00:00:00:00' }, value],
    [{ mac: '01:00:00:00:00:01' }, value],
    [{ master: {} }, type],
    [{ persist: 'yes' }, type],
    [{ packetInfo: 0 }, type],
    [{ exclusive: null }, type],
    [{ owner: 'root' }, type],
    [{ owner: 0xffffffff }, range],
    [{ group: -1 }, range],
    [{ readableHighWaterMark: 0 }, range],
    [{ writableHighWaterMark: 1.5 }, type],
    [{ signal: {} }, type],
    [{ queues: 0 }, { name: 'RangeError', code: 'ERR_OUT_OF_RANGE' }],
    [{ queues: 257 }, { name: 'RangeError', code: 'ERR_OUT_OF_RANGE' }],
    [{ offload: true, packetInfo: true }, value],
    [{ presist: true }, { ...value, message: /did you mean 'persist'/ }],
  ]
  for (const [options, expected] of wrong) await fails(t, namespace, options, expected, JSON.stringify(options))
  await t.rejects(openTap({ namespace: {} as Namespace }), type)
  await t.rejects(openTap(null as never), type)
  await t.rejects(openTun({ namespace, mac: '02:00:00:00:00:01' } as never), value, 'a tun has no MAC address')
})

test('what the kernel refuses leaves nothing behind, and the first cause is told', tun, async (t) => {
  const namespace = await scratch(t)
  await ipDo(namespace, 'link', 'add', 'bridge7', 'type', 'bridge')
  await ipDo(namespace, 'tuntap', 'add', 'dev', 'tap8', 'mode', 'tap')
  await fails(
    t,
    namespace,
    { mtu: 70_000 },
    { name: 'NetkitError', code: 'EINVAL', syscall: 'RTM_NEWLINK' },
    'an mtu too large',
  )
  await fails(t, namespace, { master: 'nobody' }, { name: 'NetkitError', code: 'ENODEV' }, 'a master that is not there')
  await fails(
    t,
    namespace,
    { master: 'tap8' },
    { name: 'NetkitError', code: 'EOPNOTSUPP' },
    'a master that takes no ports',
  )
  const twice = { addresses: ['10.0.0.1/24', '10.0.0.1/24'] }
  await fails(t, namespace, twice, { name: 'NetkitError', code: 'EEXIST' }, 'an address twice')
  const other = { code: 'EINVAL', syscall: 'TUNSETIFF', message: /not a tap/ }
  await fails(t, namespace, { name: 'bridge7' }, other, 'the name of a bridge')

  const port = await openTap({ namespace, name: 'port7', master: 'bridge7' })
  const [shown] = await ip(namespace, 'link', 'show', 'dev', 'port7')
  t.equal(shown.master, 'bridge7', 'a master that does take ports')
  await port.close()
})

test('one descriptor at a time', tun, async (t) => {
  const namespace = await scratch(t)
  const tap = await openTap({ namespace, name: 'tap7' })
  const busy = { code: 'EBUSY', syscall: 'TUNSETIFF', message: /open elsewhere/ }
  await fails(t, namespace, { name: 'tap7' }, busy, 'a second open')
  const exists = { code: 'EBUSY', message: /exclusive/ }
  await fails(t, namespace, { name: 'tap7', exclusive: true }, exists, 'an exclusive open')
  await t.rejects(openTun({ namespace, name: 'tap7' }), { code: 'EINVAL', message: /not a tun/ })
  const opens = await Promise.allSettled([1, 2, 3].map(() => openTap({ namespace, name: 'race7' })))
  const winners = opens.filter((result) => result.status === 'fulfilled')
  t.equal(winners.length, 1, 'one of several at once gets it')
  for (const { value } of winners) await value.close()
  await tap.close()
})

test('persistent interfaces: kept, attached to, let go', tun, async (t) => {
  const namespace = await scratch(t)
  // It looks into /sys, which shows the namespace that it was mounted in.
  const look = 'mount -t sysfs none /sys && ip -j tuntap show'
  const shown = async () => {
    const { stdout } = await namespace.exec('unshare', ['--mount', 'sh', '-c', look], { check: true })
    return stdout === '' ? [] : JSON.parse(stdout).map((device: { ifname: string }) => device.ifname)
  }
  const first = await openTap({ namespace, name: 'keep7', persist: true, mtu: 1300 })
  t.equal((await ip(namespace, 'link', 'show', 'dev', 'keep7'))[0].linkinfo.info_data.persist, true)
  await first.close()
  t.same(await shown(), ['keep7'], 'it stays when closed')

  await fails(
    t,
    namespace,
    { name: 'keep7', exclusive: true },
    { code: 'EBUSY' },
    'an exclusive open of an existing one',
  )
  const bad = { name: 'keep7', mtu: 70_000 }
  await fails(t, namespace, bad, { code: 'EINVAL' }, 'a failure on an interface that existed, which stays,')

  const second = await openTap({ namespace, name: 'keep7' })
  t.equal(second.link.index, first.link.index, 'the same interface')
  t.equal(second.link.mtu, 1300)
  await second.close()
  t.same(await shown(), ['keep7'], 'attaching changes nothing')

  const third = await openTap({ namespace, name: 'keep7' })
  await third.delete()
  t.same(await shown(), [], 'delete() makes it go')
  await third.delete()

  const fourth = await openTap({ namespace, name: 'keep7' })
  await fourth.setPersist(true)
  t.equal((await ip(namespace, 'link', 'show', 'dev', 'keep7'))[0].linkinfo.info_data.persist, true)
  await fourth.setPersist(false)
  await t.rejects(fourth.setPersist('on' as never), { code: 'ERR_INVALID_ARG_TYPE' })
  await fourth.close()
  t.same(await shown(), [], 'setPersist() can be taken back')
  await t.rejects(fourth.setPersist(true), { code: 'EBADF' })

  await ipDo(namespace, 'tuntap', 'add', 'dev', 'made7', 'mode', 'tap')
  const made = await openTap({ namespace, name: 'made7', persist: false })
  await made.close()
  t.same(await shown(), [], "what ip made can be opened, and `persist: false` makes it netkit's")
})

test('disposal closes, and leaves a persistent interface', tun, async (t) => {
  const namespace = await scratch(t)
  {
    await using tap = await openTap({ namespace, name: 'keep7', persist: true })
    await using other = await openTap({ namespace, name: 'gone7' })
    t.same((await names(namespace)).sort(), [other.name, tap.name].sort())
  }
  t.same(await names(namespace), ['keep7'])
})

test('packet information is off unless asked for', tun, async (t) => {
  const namespace = await scratch(t)
  const tap = await openTap({ namespace, name: 'pi7', packetInfo: true })
  t.equal((await ip(namespace, 'link', 'show', 'dev', 'pi7'))[0].linkinfo.info_data.pi, true)
  await tap.close()
})

test('opening can be given up', tun, async (t) => {
  const namespace = await scratch(t)
  const aborted = { name: 'AbortError', code: 'ABORT_ERR' }
  await fails(
    t,
    namespace,
    { signal: AbortSignal.abort(new Error('why')) },
    { ...aborted, cause: { message: 'why' } },
    'before',
  )
  for (let i = 0; i < 5; i++) {
    const controller = new AbortController()
    setTimeout(() => controller.abort(), i / 4)
    const opening = openTap({
      namespace,
      addresses: ['10.0.0.1/24'],
      up: true,
      persist: true,
      signal: controller.signal,
    })
    const [result] = await Promise.allSettled([opening])
    if (result?.status === 'fulfilled') await result.value.delete()
    else t.match(result?.reason, aborted, `after ${i / 4} ms`)
    t.same(await names(namespace), [])
  }
})

test('namespaces', tun, async (t) => {
  const closed = await createNamespace()
  await closed.close()
  await t.rejects(openTap({ namespace: closed }), { code: 'EBADF' }, 'one that is closed')

  // An open tap holds its namespace, as any socket does.
  const namespace = await createNamespace()
  const tap = await openTap({ namespace, addresses: ['10.0.2.1/24'], up: true })
  await namespace.delete()
  const frames = tap.iterator({ destroyOnReturn: false })
  t.ok((await frames.next()).value, 'a tap goes on when the handle of its namespace is closed')
  await tap.close()
})

test('an open that fails is a NetkitError with its parts', tun, async (t) => {
  const namespace = await scratch(t)
  const error = await openTap({ namespace, name: 'lo' }).catch((reason) => reason)
  t.ok(error instanceof NetkitError)
  t.equal(error.errno, -22)
  t.match(
    error.message,
    /^cannot open tap lo: invalid argument \(EINVAL, TUNSETIFF\); an interface of this name exists/,
  )
})
