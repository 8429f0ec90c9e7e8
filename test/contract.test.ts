/** What README and the documentation promise in one line each, by the names that they use: who copies them is not disappointed. */
import fs from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { inspect } from 'node:util'
import t from 'tap'
import {
  capture,
  createBridge,
  createLink,
  createNamespace,
  createVeth,
  currentNamespace,
  listNamespaces,
  NetkitError,
  type NetworkEvent,
  type ObjectEvent,
  openNamespace,
  openTap,
  openTun,
  pcapngWriter,
  readCapture,
  startPump,
} from '../dist/index.js'
import { needs } from './support/needs.js'
import { refused, VALUE, type Wrong } from './support/refused.js'
import { ip, ipDo, scratch, uniqueName } from './support/scratch.js'

const MAC = '02:00:00:00:00:07'

t.test('namespaces', await needs('namespaces', 'names', 'ip'), async (t) => {
  const name = uniqueName()
  const red = await createNamespace(name)
  t.teardown(() => red.delete())
  const box = await createNamespace()
  t.teardown(() => box.delete())
  const host = currentNamespace()
  const same = await openNamespace(name)
  t.teardown(() => same.close())

  t.equal(red.name, name)
  t.equal(box.name, undefined)
  t.equal(same.inode, red.inode)
  t.not(host.inode, red.inode)
  t.equal(fs.fstatSync(red.fd).ino, red.inode)
  for (const target of [{ path: `/run/netns/${name}` }, { fd: red.fd }]) {
    await using other = await openNamespace(target)
    t.equal(other.inode, red.inode)
  }
  t.match(
    red.run(() => fs.readFileSync('/proc/net/dev', 'utf8')),
    /lo:/,
  )
  const sleeper = red.spawn('sleep', ['10'])
  await using ofSleeper = await openNamespace({ pid: sleeper.pid ?? 0 })
  t.equal(ofSleeper.inode, red.inode)
  t.same(await red.processes(), [sleeper.pid])
  sleeper.kill()

  await createVeth(
    { name: 'veth1', namespace: red, addresses: ['10.0.1.1/24'], up: true },
    { name: 'veth2', namespace: box, addresses: ['10.0.1.2/24'], up: true },
  )
  await (await red.links.get('veth1')).waitFor({ running: true })
  const said = await red.exec('ip', ['-o', 'link', 'show', 'veth1'])
  t.match(said, { stdout: /veth1/, stderr: '', exitCode: 0 })

  const server = await box.listen({ port: 8080 })
  server.on('connection', (socket) => socket.end('hello'))
  const socket = await red.connect({ host: '10.0.1.2', port: 8080 })
  const heard = await socket.setEncoding('utf8').toArray()
  t.equal(heard.join(''), 'hello')
  await new Promise((resolve) => server.close(resolve))

  await createBridge({ name: 'br0', namespace: red, up: true })
  const udp = await red.bindDatagram({ type: 'udp4', port: 67, device: 'br0', broadcast: true })
  t.equal(udp.address().port, 67)
  await new Promise<void>((resolve) => udp.close(() => resolve()))

  red.sysctl.set('net.ipv4.ip_forward', 1)
  t.equal(String(red.sysctl.get('net.ipv4.ip_forward')), '1')
  t.ok((await listNamespaces()).some((one) => one.name === name))
  t.ok((await listNamespaces({ all: true })).some((one) => one.inode === red.inode))
})

t.test('links', await needs('namespaces', 'ip', 'kind:vxlan'), async (t) => {
  const [red, box] = [await scratch(t), await scratch(t)]
  const [left, right] = await createVeth(
    { name: 'veth1', namespace: red, addresses: ['10.0.1.1/24'], up: true },
    { name: 'veth2', namespace: box, addresses: ['10.0.1.2/24'], up: true },
  )
  t.same([left.namespace.inode, right.namespace.inode], [red.inode, box.inode])
  const [someLink] = await createVeth({ name: 'some', namespace: box }, { name: 'other', namespace: box })
  const br0 = await createBridge({ name: 'br0', namespace: box, up: true, ports: [someLink] })
  t.equal((await someLink.refresh()).master, br0.index)
  const vx = await createLink({
    kind: 'vxlan',
    name: 'vx10',
    namespace: box,
    id: 10,
    local: '10.9.0.1',
    port: 4789,
    learning: false,
    master: br0,
  })
  t.equal(vx.master, br0.index)
  t.match(vx.options, { id: 10, local: '10.9.0.1', port: 4789, learning: false })
  t.match(JSON.parse(JSON.stringify(vx)), { name: 'vx10', kind: 'vxlan', options: { id: 10 } })
  t.match(inspect(vx), /^Link \{[\s\S]*name: 'vx10'/, 'what console.log shows')

  await left.set({
    up: true,
    mtu: 9000,
    mac: '02:00:00:00:00:01',
    name: 'eth0',
    namespace: box,
    master: br0,
    arp: false,
  })
  const [shown] = await ip(box, 'link', 'show', 'eth0')
  t.match(shown, { mtu: 9000, address: '02:00:00:00:00:01', master: 'br0' })
  t.ok(shown.flags.includes('NOARP'))
  t.ok(shown.flags.includes('UP'))

  await left.addAddress('10.0.1.9/24', { label: 'eth0:0' })
  t.match(await box.addresses.list({ link: left }), [{ address: '10.0.1.9/24', label: 'eth0:0' }])
  await left.removeAddress('10.0.1.9/24')
  await t.rejects(left.removeAddress('10.0.1.9/24'), { code: 'ENOENT' })
  await left.addAddress('10.0.1.9/24')
  await t.rejects(left.addAddress('10.0.1.9/24'), { code: 'EEXIST' })
  await left.flushAddresses()
  t.same(await box.addresses.list({ link: left }), [])

  const { name, index, kind, mac, mtu, flags, up, running, stats, options } = left
  t.match(
    { name, kind, mac, mtu, up, running },
    {
      name: 'eth0',
      kind: 'veth',
      mac: '02:00:00:00:00:01',
      mtu: 9000,
      up: true,
      running: Boolean,
    },
  )
  t.equal(index, shown.ifindex)
  t.ok(flags.includes('NOARP'))
  t.equal(typeof stats?.receivedBytes, 'number')
  t.same(options, {})
  await ipDo(box, 'link', 'set', 'eth0', 'mtu', '1400')
  t.equal(left.mtu, 9000, 'a snapshot')
  t.equal((await left.refresh()).mtu, 1400)

  t.same((await box.links.list({ kind: 'veth' })).map((link) => link.name).sort(), ['eth0', 'other', 'some', 'veth2'])
  t.equal((await box.links.get('eth0')).index, left.index)
  t.equal(await red.links.find('nope'), undefined)
  await t.rejects(red.links.get('nope'), { code: 'ENODEV' })
  await left.delete()
  await left.delete()
  t.equal(await box.links.find('veth2'), undefined, 'the other end is gone with it')
})

t.test('routes, rules, neighbors', await needs('namespaces', 'ip'), async (t) => {
  const red = await scratch(t)
  const [left] = await createVeth(
    { name: 'left', namespace: red, addresses: ['10.0.1.1/24'], up: true },
    { name: 'right', namespace: red, up: true },
  )
  await left.waitFor({ running: true })
  await red.routes.add({ to: 'default', via: '10.0.1.254' })
  t.match(await ip(red, 'route', 'show', 'default'), [{ dst: 'default', gateway: '10.0.1.254', dev: 'left' }])
  const main = await red.routes.list({ table: 'main' })
  t.ok(main.some((route) => route.via === '10.0.1.254' && route.to === 'default'))
  t.match(await red.routes.lookup('192.0.2.7'), { via: '10.0.1.254', index: left.index })
  await red.rules.add({ from: '10.0.1.0/24', table: 100, priority: 1000 })
  t.match(await ip(red, 'rule', 'show', 'priority', '1000'), [{ src: '10.0.1.0', srclen: 24, table: '100' }])
  await red.neighbors.add({ address: '10.0.1.7', mac: MAC, link: left, state: 'permanent' })
  t.match(await ip(red, 'neigh', 'show', '10.0.1.7'), [{ lladdr: MAC, dev: 'left', state: ['PERMANENT'] }])
})

t.test('forwarding entries', await needs('namespaces', 'bridge', 'kind:vxlan'), async (t) => {
  const red = await scratch(t)
  const br0 = await createBridge({ name: 'br0', namespace: red, up: true })
  const vx = await createLink({
    kind: 'vxlan',
    name: 'vx10',
    namespace: red,
    id: 10,
    port: 4789,
    master: br0,
    up: true,
  })
  const [left] = await createVeth(
    { name: 'left', namespace: red, master: br0, up: true },
    { name: 'right', namespace: red, up: true },
  )
  const entry = { mac: MAC, port: vx, destination: '10.9.0.2' }
  await br0.fdb.add(entry)
  const { stdout } = await red.exec('bridge', ['fdb', 'show', 'dev', 'vx10'], { check: true })
  t.match(stdout, /02:00:00:00:00:07 master br0/, 'the bridge knows the port')
  t.match(stdout, /02:00:00:00:00:07 dst 10\.9\.0\.2/, 'the VXLAN knows where it is')
  await t.rejects(br0.fdb.add(entry), { code: 'EEXIST' })
  t.match(await br0.fdb.ensure(entry), { changed: false })
  await br0.fdb.remove(entry)
  await t.rejects(br0.fdb.remove(entry), { code: 'ENOENT' })
  t.notMatch((await red.exec('bridge', ['fdb', 'show'])).stdout, MAC)

  // A port that is no VXLAN has nowhere to keep a destination, and its bridge takes no notice of one.
  const atVeth = { mac: MAC, port: left, destination: '10.9.0.2' }
  await br0.fdb.add(atVeth)
  t.match((await red.exec('bridge', ['fdb', 'show', 'dev', 'left'])).stdout, /02:00:00:00:00:07 master br0/)
  await t.rejects(br0.fdb.add(atVeth), { code: 'EEXIST' })
  t.match(await br0.fdb.ensure(atVeth), { changed: false, entry: { mac: MAC, index: left.index } })
  await br0.fdb.remove({ mac: MAC, port: left })
})

t.test('queueing', await needs('namespaces', 'tc', 'qdisc:tbf'), async (t) => {
  const red = await scratch(t)
  const [left] = await createVeth(
    { name: 'left', namespace: red, up: true },
    { name: 'right', namespace: red, up: true },
  )
  await left.qdiscs.replace({ kind: 'tbf', rate: '100mbit', burst: 32_768, latency: 50 })
  const { stdout } = await red.exec('tc', ['-j', 'qdisc', 'show', 'dev', 'left', 'root'], { check: true })
  t.match(JSON.parse(stdout), [{ kind: 'tbf', root: true, options: { rate: 12_500_000, lat: 50_000 } }])
  const [known] = await left.qdiscs.list()
  t.match(known, { kind: 'tbf', options: { rate: 100_000_000, burst: 32_768 } })
})

t.test('requests of one tick travel together', await needs('namespaces'), async (t) => {
  const red = await scratch(t)
  const names = Array.from({ length: 20 }, (_, i) => `br${i}`)
  const made = await Promise.all(names.map((name) => createBridge({ name, namespace: red })))
  t.same(
    made.map((link) => link.name),
    names,
  )
})

t.test('watching', await needs('namespaces'), async (t) => {
  const red = await scratch(t)
  const ending = new AbortController()
  const { signal } = ending
  const watch = red.watch({ links: true, addresses: true, routes: true, neighbors: true, namespaces: true, signal })
  await watch.ready
  const seen: NetworkEvent[] = []
  const reading = (async () => {
    for await (const event of watch) {
      seen.push(event)
      if (event.type === 'removed' && event.object === 'link') ending.abort()
    }
  })()
  const br0 = await createBridge({ name: 'br0', namespace: red, addresses: ['10.0.1.1/24'], up: true })
  await red.neighbors.add({ address: '10.0.1.7', mac: MAC, link: br0, state: 'permanent' })
  await red.namespaceIds.assign(currentNamespace())
  await Promise.all([t.rejects(reading, { name: 'AbortError', code: 'ABORT_ERR' }), br0.delete()])
  const told = (type: ObjectEvent['type'], object: ObjectEvent['object']) =>
    seen.some((event) => event.type === type && event.object === object)
  for (const object of ['link', 'address', 'route', 'neighbor', 'namespace'] as const)
    t.ok(told('added', object), object)
  t.ok(told('changed', 'link'))
  const last = seen.at(-1)
  t.ok(last?.type === 'removed' && last.object === 'link' && last.link.name === 'br0')
})

t.test('tap and tun', await needs('namespaces', 'tun', 'ip'), async (t) => {
  const red = await scratch(t)
  const tap = await openTap({ name: 'tap0', namespace: red, addresses: ['10.0.2.1/24'], up: true })
  const otherTap = await openTap({ name: 'tap1', namespace: red, mtu: 1400, mac: MAC })
  const tun = await openTun({ name: 'tun%d', namespace: red })
  t.match(tun.name, /^tun\d+$/)
  t.equal(tap.fds.length, 1)
  t.match(await ip(red, 'address', 'show', 'tap0'), [{ addr_info: [{ local: '10.0.2.1' }] }])
  t.equal(tap.link.name, tap.name)
  t.match(otherTap.link, { mtu: 1400, mac: MAC })
  t.equal(tap.pipe(otherTap), otherTap)
  tap.unpipe(otherTap)
  await Promise.all([tap.close(), otherTap.close(), tun.close()])
  t.equal(await red.links.find('tap0'), undefined, 'goes with its last descriptor')
})

t.test('the fast way', await needs('namespaces', 'tun'), async (t) => {
  const red = await scratch(t)
  const tap = await openTap({
    name: 'tap0',
    namespace: red,
    addresses: ['10.0.2.1/24'],
    up: true,
    queues: 2,
    offload: true,
  })
  const otherTap = await openTap({ name: 'tap1', namespace: red, up: true })
  t.equal(tap.fds.length, 2, 'one descriptor a queue')
  let looked = 0
  const inspect = (frame: Buffer) => {
    looked += frame.length
  }
  const socket = await red.bindDatagram({ type: 'udp4', broadcast: true })
  for (let i = 0; i < 20; i++) socket.send('anybody?', 9, '10.0.2.255')
  for await (const batch of tap.batches()) {
    for (let i = 0; i < batch.length; i++) inspect(batch.frame(i))
    otherTap.writeBatch(batch)
    break
  }
  t.ok(looked > 0)
  socket.close()
  await Promise.all([tap.close(), otherTap.close()])
})

t.test('pumps and captures', await needs('namespaces', 'tun', 'ping'), async (t) => {
  const red = await scratch(t)
  const box = await scratch(t)
  const folder = fs.mkdtempSync(join(tmpdir(), 'netkit-contract-'))
  t.teardown(() => fs.rmSync(folder, { recursive: true }))
  const tapA = await openTap({ namespace: red, addresses: ['10.0.2.1/24'], up: true })
  const tapB = await openTap({ namespace: box, addresses: ['10.0.2.2/24'], up: true })
  const pump = startPump(tapA, tapB)
  const left = tapA.link
  const end = new AbortController()
  const { signal } = end
  const running = await capture({ link: left, file: join(folder, 'left.pcapng'), snapshotLength: 96, signal })
  t.equal((await red.exec('ping', ['-c1', '-W2', '10.0.2.2'])).exitCode, 0)
  t.ok(pump.stats().forward.frames > 0)
  end.abort()
  t.ok((await running.done).frames > 1)
  await pump.close()
  let cut = 0
  for await (const packet of readCapture(join(folder, 'left.pcapng'))) {
    t.ok(packet.data.length <= 96)
    if (packet.originalLength > packet.data.length) cut++
  }
  t.ok(cut > 0, 'a ping is longer')
  const written: Buffer[] = []
  tapA.pipe(pcapngWriter()).on('data', (bytes) => written.push(bytes))
  void red.exec('ping', ['-c1', '-W1', '10.0.2.9'])
  for (let i = 0; i < 100 && written.length < 2; i++) await delay(10)
  t.equal(written[0]?.readUInt32LE(), 0x0a0d0d0a, 'a section header')
  await Promise.all([tapA.close(), tapB.close()])
})

t.test('errors', await needs('namespaces', 'kind:vxlan'), async (t) => {
  const red = await scratch(t)
  await createBridge({ name: 'br0', namespace: red })
  const there: Wrong = await createBridge({ name: 'br0', namespace: red }).catch((error) => error)
  t.ok(there instanceof NetkitError && there instanceof Error)
  t.match(there, { code: 'EEXIST', errno: -17, syscall: 'RTM_NEWLINK' })
  // 24 bits are too few for this one, and no option lets it through.
  const data = { '#1': new Uint8Array(new Uint32Array([0x0100_0000]).buffer) } as const
  await t.rejects(createLink({ kind: 'vxlan', name: 'vx', namespace: red, data }), {
    code: 'ERANGE',
    errno: -34,
    syscall: 'RTM_NEWLINK',
    kernelMessage: /VXLAN ID must be lower/,
    attribute: 'IFLA_INFO_DATA.IFLA_VXLAN_ID',
  })
  await refused(
    t,
    'id',
    () => createLink({ kind: 'vxlan', name: 'vx', namespace: red, id: -1 }),
    'ERR_OUT_OF_RANGE',
    '',
  )
  await refused(t, 'typo', () => createLink({ kind: 'vxlan', nam: 'vx', id: 1 } as Wrong), VALUE, /did you mean 'name'/)
})
