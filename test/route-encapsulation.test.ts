/** What routes wrap packets in: made by netkit and read by iproute2, and the other way round. */
import t from 'tap'
import type { Encapsulation, EncapsulationRow, NewRoute } from '../dist/index.js'
import { createBridge } from '../dist/index.js'
import { encapsulationAttributes, readEncapsulation } from '../dist/rtnetlink/encapsulation.js'
import { routeMessage } from '../dist/rtnetlink/route.js'
import { needs } from './support/needs.js'
import { RANGE, refused, TYPE, VALUE, type Wrong } from './support/refused.js'
import { bothRoutes } from './support/route-referee.js'
import { ipDo, scratch } from './support/scratch.js'

type Made = [encapsulation: Encapsulation, command: string, family?: '-6']

/** By the requirement on the kernel: what netkit is asked for, and what iproute2 is for the same. */
const cases: Readonly<Record<string, Made[]>> = {
  ip: [
    [{ type: 'ip', destination: '192.0.2.1' }, 'encap ip id 0 dst 192.0.2.1'],
    [
      {
        ...{ type: 'ip', id: 5, destination: '192.0.2.7', source: '192.0.2.1', ttl: 4, tos: 8 },
        flags: ['key', 'checksum', 'sequence'],
      },
      'encap ip id 5 dst 192.0.2.7 src 192.0.2.1 ttl 4 tos 8 key csum seq',
    ],
    [
      { type: 'ip', id: 2 ** 40, destination: '192.0.2.1', flags: ['key'] },
      'encap ip id 1099511627776 dst 192.0.2.1 key',
    ],
    [{ type: 'ip6', id: 9n, destination: 'fd09::1' }, 'encap ip6 id 9 dst fd09::1', '-6'],
    [
      { type: 'ip6', id: 5, destination: 'fd09::7', source: 'fd09::1', ttl: 4, tos: 8, flags: ['checksum'] },
      'encap ip6 id 5 dst fd09::7 src fd09::1 hoplimit 4 tc 8 csum',
      '-6',
    ],
  ],
  mpls: [
    [{ type: 'mpls', labels: [100] }, 'encap mpls 100'],
    [{ type: 'mpls', labels: [100, 200, 1_048_575], ttl: 7 }, 'encap mpls 100/200/1048575 ttl 7'],
    [{ type: 'mpls', labels: [16] }, 'encap mpls 16', '-6'],
  ],
  seg6: [
    [{ type: 'seg6', mode: 'encap', segments: ['fd09::5'] }, 'encap seg6 mode encap segs fd09::5'],
    [
      { type: 'seg6', mode: 'encap', segments: ['fd09::5', 'FD09:0::6'] },
      'encap seg6 mode encap segs fd09::5,fd09::6',
      '-6',
    ],
    [
      { type: 'seg6', mode: 'inline', segments: ['fd09::5', 'fd09::6'] },
      'encap seg6 mode inline segs fd09::5,fd09::6',
      '-6',
    ],
    [{ type: 'seg6', mode: 'l2encap', segments: ['fd09::5'] }, 'encap seg6 mode l2encap segs fd09::5'],
  ],
  seg6local: [
    [{ type: 'seg6local', action: 'End' }, 'encap seg6local action End', '-6'],
    [{ type: 'seg6local', action: 'End.X', nexthop6: 'fd09::7' }, 'encap seg6local action End.X nh6 fd09::7', '-6'],
    [{ type: 'seg6local', action: 'End.T', table: 100 }, 'encap seg6local action End.T table 100', '-6'],
    [{ type: 'seg6local', action: 'End.DX2', outputLink: 'br1' }, 'encap seg6local action End.DX2 oif br1', '-6'],
    [
      { type: 'seg6local', action: 'End.DX4', nexthop4: '192.0.2.1' },
      'encap seg6local action End.DX4 nh4 192.0.2.1',
      '-6',
    ],
    [{ type: 'seg6local', action: 'End.DX6', nexthop6: 'fd09::1' }, 'encap seg6local action End.DX6 nh6 fd09::1', '-6'],
    [
      { type: 'seg6local', action: 'End.DT6', table: 100, count: true },
      'encap seg6local action End.DT6 table 100 count',
      '-6',
    ],
    [
      { type: 'seg6local', action: 'End.B6', segments: ['fd09::5', 'fd09::6'] },
      'encap seg6local action End.B6 srh segs fd09::5,fd09::6',
      '-6',
    ],
    [
      { type: 'seg6local', action: 'End.B6.Encaps', segments: ['fd09::5', 'fd09::6'] },
      'encap seg6local action End.B6.Encaps srh segs fd09::5,fd09::6',
      '-6',
    ],
  ],
}

async function twoBridges(t: Parameters<typeof scratch>[0]) {
  const red = await scratch(t)
  await Promise.all(
    ['br0', 'br1'].map((name) => createBridge({ name, namespace: red, up: true, addressGeneration: 'none' })),
  )
  return red
}

for (const [type, list] of Object.entries(cases)) {
  t.test(type, await needs('namespaces', 'ip', `encap:${type}`), async (t) => {
    const [ours, theirs] = [await twoBridges(t), await twoBridges(t)]
    for (const [i, [encapsulation, command, family]] of list.entries()) {
      const to = family === '-6' ? `fd0a:${i + 1}::/64` : `10.9.${i + 1}.0/24`
      const route: NewRoute = { to, link: 'br0', encapsulation, protocol: 'boot' }
      await ours.routes.add(route)
      await ipDo(theirs, family ?? '-4', 'route', 'add', to, ...command.split(' '), 'dev', 'br0')
      const [made, read] = [await bothRoutes(ours), await bothRoutes(theirs)]
      t.same(made.netkit, made.iproute2, `netkit makes ${command}`)
      t.same(read.netkit, read.iproute2, `iproute2 makes ${command}`)
      const [row, other] = [await ours.routes.get({ to }), await theirs.routes.get({ to })]
      t.same({ ...row, index: 0 }, { ...other, index: 0 }, 'both make the same')
      t.equal(row.encapsulation?.type, encapsulation.type)
      t.match(await ours.routes.ensure(route), { changed: false }, 'ensure finds it as asked')
      await ours.routes.remove(row)
      t.equal(await ours.routes.find({ to }), undefined, 'its row removes it')
      await ours.routes.add(row)
      t.same(await ours.routes.get({ to }), row, 'and makes it again')
    }
  })
}

t.test('of a multipath route', await needs('namespaces', 'ip', 'encap:seg6', 'encap:ip'), async (t) => {
  const red = await twoBridges(t)
  const wish: NewRoute = {
    to: '10.9.0.0/16',
    nexthops: [
      { link: 'br0', encapsulation: { type: 'seg6', mode: 'encap', segments: ['fd09::5'] } },
      { link: 'br1', encapsulation: { type: 'ip', id: 7, destination: '192.0.2.1' }, weight: 3 },
    ],
  }
  await red.routes.add(wish)
  const { iproute2, netkit } = await bothRoutes(red)
  t.same(netkit, iproute2)
  t.match(await red.routes.get({ to: wish.to }), {
    nexthops: [{ encapsulation: { segments: ['fd09::5'] } }, { encapsulation: { id: 7, destination: '192.0.2.1' } }],
  })
  t.match(await red.routes.ensure(wish), { changed: false })
  const [first, second] = wish.nexthops ?? []
  const other = { ...second, encapsulation: { type: 'ip', id: 8, destination: '192.0.2.1' } } as const
  const changed = await red.routes.ensure({ ...wish, nexthops: [{ ...first }, other] })
  t.match([changed.changed, changed.route.nexthops], [true, [{}, { encapsulation: { id: 8 } }]])
})

t.test('what a kernel lacks is said', await needs('namespaces'), async (t) => {
  const red = await twoBridges(t)
  const data = Uint8Array.of(8, 0, 1, 0, 0, 0, 0, 0)
  const asked = red.routes.add({ to: 'fd0a::/64', link: 'br0', encapsulation: { type: 250, data } })
  await t.rejects(asked, {
    code: /EINVAL|EOPNOTSUPP/,
    syscall: 'RTM_NEWROUTE',
    message: /^cannot add the route to fd0a/,
  })
})

t.test('what is written is read', async (t) => {
  const rows: EncapsulationRow[] = [
    { type: 'xfrm', interfaceId: 5 },
    { type: 'xfrm', interfaceId: 0xffff_ffff, link: 7 },
    { type: 'seg6local', action: 'End.DT46', vrfTable: 100 },
    { type: 'seg6local', action: 99, table: 5, inputLink: 6, outputLink: 7 },
    { type: 'seg6', mode: 'l2encap.red', segments: ['fd00::1', 'fd00::2'] },
    { type: 'ip', id: 2n ** 60n, destination: '10.0.0.1' },
    { type: 'mpls', labels: [0, 1_048_575], ttl: 255 },
    { type: 'ila', data: Uint8Array.of(8, 0, 1, 0, 1, 2, 3, 4) },
    { type: 250, data: new Uint8Array(0) },
  ]
  for (const row of rows) {
    const { encapsulationType, encapsulation } = encapsulationAttributes(row, 'encapsulation')
    t.same(readEncapsulation(encapsulationType, encapsulation), row)
  }
  const cut = Uint8Array.of(8, 0, 1, 0, 1)
  t.same(readEncapsulation(1, cut), { type: 'mpls', data: cut }, 'what cannot be read is given as it came')
})

t.test('the options of tunnel headers are never sent, however they are put', async (t) => {
  const written = (encapsulationType: number, ...bytes: number[]) => {
    const values = { encapsulationType, encapsulation: Uint8Array.from(bytes) }
    const hop = { flags: 0, hops: 0, index: 1, attributes: values }
    const asked = [values, { multipath: [hop] }]
    return asked.map((attributes) => {
      try {
        return routeMessage.encode(24, 0, { family: 2 }, attributes).length > 0
      } catch (error) {
        return (error as Error).message
      }
    })
  }
  const refused = /the options of a tunnel header are not sent/
  for (const type of [2, 4]) {
    t.same(written(type, 5, 0, 4, 0, 64, 0, 0, 0), [true, true], 'a TTL')
    t.match(written(type, 4, 0, 8, 0), [refused, refused])
    t.match(written(type, 4, 0, 8, 0x80), [refused, refused], 'with the flag of nested attributes')
    t.match(written(type, 4, 0, 9, 0), [refused, refused], 'nor what comes after them')
    t.match(written(type, 5, 0, 4, 0, 64, 0, 0, 0, 4, 0, 8, 0), [refused, refused], 'behind another one')
  }
})

t.test('wrong input', await needs('namespaces'), async (t) => {
  const red = await twoBridges(t)
  const data = Uint8Array.of(0)
  const wrong: [encapsulation: Wrong, code: string, message: RegExp][] = [
    ['mpls', TYPE, /^PATH must be an object/],
    [{}, TYPE, /^PATH\.type must be one of/],
    [{ type: 'gre' }, VALUE, /^PATH\.type 'gre': expected one of mpls, ip/],
    [{ type: 2, data }, VALUE, /^PATH\.type 2: write it 'ip'/],
    [{ type: 4, data }, VALUE, /^PATH\.type 4: write it 'ip6'/],
    [{ type: 'ip', data }, VALUE, /^PATH 'data': is not an option here/],
    [{ type: 'ip', options: data }, VALUE, /^PATH 'options': is not an option here/],
    [{ type: 'ip', '#8': data }, VALUE, /^PATH '#8': is not an option here/],
    [{ type: 'ip6', '#32776': data }, VALUE, /^PATH '#32776': is not an option here/],
    [{ type: 'ip', destination: 'fd00::1' }, VALUE, /^PATH\.destination 'fd00::1': is not an IPv4 address/],
    [{ type: 'ip6', source: '10.0.0.1' }, VALUE, /^PATH\.source '10\.0\.0\.1': is not an IPv6 address/],
    [{ type: 'ip', id: -1 }, RANGE, /^PATH\.id/],
    [{ type: 'ip', id: 2n ** 64n }, VALUE, /^PATH\.id/],
    [{ type: 'ip', ttl: 256 }, RANGE, /^PATH\.ttl/],
    [{ type: 'ip', tos: '1' }, TYPE, /^PATH\.tos/],
    [{ type: 'ip', flags: 'key' }, TYPE, /^PATH\.flags must be an array/],
    [{ type: 'ip', flags: ['options'] }, VALUE, /^PATH\.flags\[0\] 'options': expected one of checksum, key, sequence/],
    [{ type: 'mpls' }, TYPE, /^PATH\.labels must be an array/],
    [{ type: 'mpls', labels: [] }, VALUE, /^PATH\.labels \[\]: there must be 1 to 30 labels/],
    [{ type: 'mpls', labels: [2 ** 20] }, RANGE, /^PATH\.labels\[0\]/],
    [{ type: 'mpls', labels: [1], ttl: 0 }, RANGE, /^PATH\.ttl/],
    [{ type: 'seg6', mode: 'encap' }, TYPE, /^PATH\.segments must be an array/],
    [{ type: 'seg6', mode: 'wrap', segments: ['fd00::1'] }, VALUE, /^PATH\.mode/],
    [{ type: 'seg6', mode: 'encap', segments: [] }, VALUE, /^PATH\.segments/],
    [
      { type: 'seg6', mode: 'encap', segments: ['10.0.0.1'] },
      VALUE,
      /^PATH\.segments\[0\] '10\.0\.0\.1': is not an IPv6/,
    ],
    [{ type: 'seg6local', action: 'end' }, VALUE, /^PATH\.action 'end': expected one of End,/],
    [{ type: 'seg6local', action: 0 }, RANGE, /^PATH\.action/],
    [{ type: 'seg6local', action: 'End.X', nexthop6: '10.0.0.1' }, VALUE, /^PATH\.nexthop6/],
    [{ type: 'seg6local', action: 'End.DX4', nexthop4: 'fd00::1' }, VALUE, /^PATH\.nexthop4/],
    [{ type: 'seg6local', action: 'End.T', table: 'main' }, TYPE, /^PATH\.table/],
    [{ type: 'seg6local', action: 'End.DX2', outputLink: {} }, TYPE, /^PATH\.outputLink must be a Link/],
    [{ type: 'seg6local', action: 'End', count: 1 }, TYPE, /^PATH\.count/],
    [{ type: 'xfrm' }, TYPE, /^PATH\.interfaceId/],
    [{ type: 'bpf' }, TYPE, /^PATH\.data must be a Uint8Array/],
    [{ type: 0, data }, RANGE, /^PATH\.type/],
  ]
  for (const [encapsulation, code, message] of wrong) {
    const at = (path: string) => new RegExp(message.source.replace('PATH', path.replace(/[.[\]]/g, '\\$&')))
    const what = JSON.stringify(encapsulation, (_, value) => (typeof value === 'bigint' ? `${value}n` : value))
    const to = 'fd0a::/64'
    await refused(t, what, () => red.routes.add({ to, link: 'br0', encapsulation }), code, at('route.encapsulation'))
    const nexthops = [{ link: 'br0', encapsulation }]
    await refused(t, what, () => red.routes.add({ to, nexthops }), code, at('route.nexthops[0].encapsulation'))
  }
  await t.rejects(
    red.routes.add({
      to: 'fd0a::/64',
      link: 'br0',
      encapsulation: { type: 'seg6local', action: 'End.DX2', outputLink: 'x' },
    }),
    { code: 'ENODEV', message: /^route\.encapsulation\.outputLink 'x' in/ },
  )
})
