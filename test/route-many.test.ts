/** Many routes at once: written as the others are, and added as they are given. */
import './netlink-hooks.js'
import fc from 'fast-check'
import { test } from 'tap'
import { createBridge, createVeth, type Namespace, type NewRoute } from '../dist/index.js'
import { Writer } from '../dist/netlink/bytes.js'
import { routeMessage } from '../dist/rtnetlink/route.js'
import { checkRoute } from '../dist/rtnetlink/route-options.js'
import { routeRequest } from '../dist/rtnetlink/route-request.js'
import { CommonRouteAsk } from '../dist/rtnetlink/route-writer.js'
import { watchExchanges } from './netlink-hooks.js'
import { needs } from './support/needs.js'
import { ip, scratch } from './support/scratch.js'

const RTM_NEWROUTE = 24
const octet = fc.integer({ min: 0, max: 255 })
const address = fc.oneof(
  fc.tuple(octet, octet, octet, octet).map((parts) => parts.join('.')),
  fc.constantFrom(
    '10.0.0.0',
    '0.0.0.0',
    '255.255.255.255',
    '01.2.3.4',
    '1.2.3',
    '1.2.3.4.5',
    '1..2.3',
    '256.1.1.1',
    '',
    'fd00::1',
  ),
)
const maybe = <T>(arbitrary: fc.Arbitrary<T>) => fc.option(arbitrary, { nil: undefined })
/** Mostly one that is right. */
const mostly = <T>(right: fc.Arbitrary<T>, wrong: fc.Arbitrary<unknown>) =>
  fc.oneof({ weight: 12, arbitrary: maybe(right) as fc.Arbitrary<unknown> }, { weight: 1, arbitrary: wrong })
const quad = fc.tuple(octet, octet, octet, octet).map((parts) => parts.join('.'))
const network = fc
  .tuple(octet, octet, fc.integer({ min: 16, max: 32 }))
  .map(([a, b, length]) => `${a}.${b}.0.0/${length}`)
const strange = fc.oneof(
  address,
  fc.tuple(address, fc.integer({ min: 0, max: 34 })).map(([text, length]) => `${text}/${length}`),
  fc.constantFrom('default', '10.0.0.0/08', '10.0.0.0/', '10.0.0.0/8/8', '10.0.0.0/8 ', '10.0.0.0/1a', 5),
)
const route = fc.record({
  to: fc.oneof(quad, network, strange),
  via: mostly(quad, fc.oneof(address, fc.constantFrom('10.0.0.1/32', 7))),
  metric: mostly(fc.nat(100), fc.constantFrom(0xffff_ffff, 2 ** 32, -1, 1.5, '1')),
  table: mostly(
    fc.oneof(fc.nat(400), fc.constantFrom('main', 'local', 'default')),
    fc.constantFrom('nope', 0xffff_ffff, 2 ** 32, -1),
  ),
  protocol: mostly(fc.constantFrom('static', 'bgp'), fc.constantFrom('nope', 77)),
  scope: mostly(fc.constantFrom('global', 'link', 'host'), fc.constantFrom('nope', 9)),
  type: mostly(fc.constant('unicast'), fc.constant('blackhole')),
  family: mostly(fc.constant('inet'), fc.constant('inet6')),
  mtu: mostly(fc.constant(undefined), fc.constant(1400)),
})

test('the quick way writes what the table does, or nothing', async (t) => {
  let quick = 0
  let total = 0
  fc.assert(
    fc.property(route, maybe(fc.integer({ min: 1, max: 0x7fff_ffff })), (given, index) => {
      const own = given as NewRoute
      total++
      const ask = CommonRouteAsk.of(own, 0x600, index)
      if (ask === undefined) return
      quick++
      const writer = new Writer(16)
      writer.append(Uint8Array.of(1, 2, 3, 4))
      ask.write(writer)
      const full = { ...own, link: index }
      const whole = routeRequest('RTM_NEWROUTE', checkRoute(full, 'route'), full, '', 0x600)
      const expected = routeMessage.encode(RTM_NEWROUTE, 0x600, whole.header, whole.attributes)
      t.same(Buffer.from(writer.bytes.subarray(4, writer.length)), Buffer.from(expected))
      t.same(ask.attributes, whole.attributes, 'and can be looked at')
      t.same(ask.header, whole.header)
    }),
    { numRuns: 20_000 },
  )
  t.ok(quick > total / 4, `${quick} of ${total}`)
})

async function withVeth(t: Parameters<typeof scratch>[0]): Promise<Namespace> {
  const namespace = await scratch(t)
  const left = { name: 'left', namespace, addresses: ['192.168.77.1/24', 'fd00:77::1/64'], up: true }
  await createVeth(left, { name: 'right', namespace, up: true })
  return namespace
}

test('routes of all kinds, with links by index, name and object', await needs('namespaces', 'ip'), async (t) => {
  const namespace = await withVeth(t)
  const left = await namespace.links.get('left')
  const many = function* (): Generator<NewRoute> {
    for (let i = 0; i < 700; i++) yield { to: `10.1.${i >> 8}.${i & 255}`, via: '192.168.77.2', link: left.index }
    for (let i = 0; i < 700; i++) yield { to: `10.2.${i >> 8}.${i & 255}/32`, link: 'left', metric: 7 }
    yield { to: '10.3.0.0/16', link: left, table: 1234, protocol: 'bgp' }
    yield { to: '10.4.0.0/16', via: '192.168.77.2' }
    yield { to: '10.5.0.0/16', type: 'blackhole' }
    yield { to: 'fd00:2::/64', link: 'right' }
    yield { to: '10.6.0.0/16', nexthops: [{ via: '192.168.77.2', link: 'left' }, { link: 'right' }] }
    yield { to: 'default', via: '192.168.77.9', mtu: 1400 }
  }
  const exchanges = watchExchanges(t)
  await namespace.routes.addMany(many())
  const types = exchanges.flat().map(({ type }) => type)
  t.equal(types.filter((type) => type === RTM_NEWROUTE).length, 1406)
  t.ok(types.filter((type) => type === 18).length <= 4, 'names are looked up once')
  t.ok(exchanges.length < 60, `${exchanges.length} exchanges`)
  const main: { dst: string; gateway?: string; dev?: string; metric?: number; type?: string }[] = await ip(
    namespace,
    '-4',
    'route',
  )
  t.equal(main.filter(({ dst }) => dst.startsWith('10.1.')).length, 700)
  t.ok(main.every(({ dst, metric, dev }) => !dst.startsWith('10.2.') || (metric === 7 && dev === 'left')))
  t.match(await ip(namespace, 'route', 'show', 'table', '1234'), [{ dst: '10.3.0.0/16', protocol: 'bgp', dev: 'left' }])
  t.match(
    main.find(({ dst }) => dst === '10.5.0.0/16'),
    { type: 'blackhole' },
  )
  t.match(
    main.find(({ dst }) => dst === 'default'),
    { gateway: '192.168.77.9' },
  )
  t.equal((await namespace.routes.list({ to: 'fd00:2::/64' })).length, 1)

  // Rows as they were listed, into another table.
  const rows = await namespace.routes.list({ within: '10.1.0.0/16' })
  await namespace.routes.addMany(rows.map((row) => ({ ...row, table: 99 })))
  const copies = await namespace.routes.list({ table: 99 })
  t.same(
    copies.map((row) => ({ ...row, table: 'main' })),
    rows,
  )
})

test('what is refused, and what is wrong', await needs('namespaces', 'ip'), async (t) => {
  const namespace = await withVeth(t)
  const hosts = (first: number, last: number): NewRoute[] =>
    Array.from({ length: last - first }, (_, i) => ({ to: `10.0.0.${first + i}`, link: 'left' }))
  await namespace.routes.addMany(hosts(5, 7))
  await t.rejects(namespace.routes.addMany(hosts(0, 50)), {
    code: 'EEXIST',
    failed: 2,
    message: /^cannot add the route to 10\.0\.0\.5: /,
  })
  t.equal((await namespace.routes.list({ within: '10.0.0.0/24' })).length, 50, 'the others were added')
  await t.rejects(
    namespace.routes.addMany([
      { to: '10.0.1.1', link: 'left' },
      { to: '10.0.1.2', link: 'nope' },
    ]),
    {
      code: 'ENODEV',
      message: /routes\[1\]\.link/,
    },
  )
  t.equal((await namespace.routes.list({ to: '10.0.1.1' })).length, 1)
  await t.rejects(
    namespace.routes.addMany([
      { to: '10.0.2.1', link: 'left' },
      { to: '10.0.2.0/33' },
      { to: '10.0.2.2', link: 'left' },
    ]),
    { code: 'ERR_INVALID_ARG_VALUE', message: /routes\[1\]\.to/ },
  )
  t.equal((await namespace.routes.list({ within: '10.0.2.0/24' })).length, 1, 'it ends there')
  await t.rejects(namespace.routes.addMany([{ to: '10.0.3.1', link: -1 }]), { message: /routes\[0\]\.link/ })
  await t.rejects(namespace.routes.addMany([null as unknown as NewRoute]), { code: 'ERR_INVALID_ARG_TYPE' })
  await t.rejects(namespace.routes.addMany(5 as unknown as NewRoute[]), {
    code: 'ERR_INVALID_ARG_TYPE',
    message: /routes/,
  })
  await t.rejects(namespace.routes.addMany([], { nope: 1 } as object), { message: /options/ })
  const other = await scratch(t)
  const foreign = await createBridge({ name: 'br0', namespace: other })
  await t.rejects(namespace.routes.addMany([{ to: '10.0.3.1', link: foreign }]), { message: /routes\[0\]\.link.*br0/ })
  await namespace.routes.addMany([])
})

test('a signal and progress', await needs('namespaces'), async (t) => {
  const namespace = await withVeth(t)
  const controller = new AbortController()
  let returned = false
  const endless = function* (): Generator<NewRoute> {
    try {
      for (let i = 0; ; i++)
        yield { to: `10.${i >> 16}.${(i >> 8) & 255}.${i & 255}`, link: i % 2 === 0 ? 'left' : 'right' }
    } finally {
      returned = true
    }
  }
  let done = 0
  const onProgress = (now: number) => {
    t.ok(now >= done)
    done = now
    if (done > 1500) controller.abort()
  }
  await t.rejects(namespace.routes.addMany(endless(), { signal: controller.signal, onProgress }), {
    name: 'AbortError',
  })
  t.ok(returned && done > 1500 && done < 6000, `${done} routes`)
})

test('a transaction undoes them', await needs('namespaces'), async (t) => {
  const namespace = await withVeth(t)
  const routes = [1, 2, 3].map((i) => ({ to: `10.0.0.${i}`, link: 'left' }))
  await t.rejects(
    namespace.transaction(async (tx) => {
      await tx.routes.addMany(routes)
      t.equal((await namespace.routes.list({ within: '10.0.0.0/24' })).length, 3)
      throw new Error('mine')
    }),
    { message: 'mine' },
  )
  t.same(await namespace.routes.list({ within: '10.0.0.0/24' }), [])
})
