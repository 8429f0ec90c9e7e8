/** createVeth: both ends where they belong, or neither. */
import t from 'tap'
import { createBridge, createVeth, type Namespace, type NewLink } from '../dist/index.js'
import { needs } from './support/needs.js'
import { bothAddresses, bothLinks } from './support/referee.js'
import { ip, scratch } from './support/scratch.js'

const namespaces = await needs('namespaces')

const namesIn = async (namespace: Namespace) => (await namespace.links.list()).map(({ name }) => name).sort()

t.test('two namespaces', await needs('namespaces', 'ip', 'ping'), async (t) => {
  const red = await scratch(t)
  const box = await scratch(t)
  const pair = await createVeth(
    { name: 'veth1', namespace: red, addresses: ['10.0.1.1/24', 'fd00::1/64'], up: true },
    { name: 'veth2', namespace: box, addresses: ['10.0.1.2/24', 'fd00::2/64'], up: true, mtu: 1400 },
  )
  const [left, right] = pair
  t.match(left, { name: 'veth1', kind: 'veth', namespace: red, up: true, parent: right.index })
  t.match(right, { name: 'veth2', kind: 'veth', namespace: box, up: true, parent: left.index, mtu: 1400 })
  t.match(await ip(red, 'link', 'show', 'veth1'), [{ ifindex: left.index, link_index: right.index, address: left.mac }])
  t.match(await ip(box, 'link', 'show', 'veth2'), [{ ifindex: right.index, link_index: left.index, mtu: 1400 }])
  for (const namespace of [red, box]) {
    const links = await bothLinks(namespace)
    t.same(links.netkit, links.iproute2)
    const addresses = await bothAddresses(namespace)
    t.same(addresses.netkit, addresses.iproute2)
  }
  await Promise.all(pair.map((end) => end.waitFor({ operationalState: 'up' })))
  await red.exec('ping', ['-c', '1', '-W', '5', '10.0.1.2'], { check: true })
  await box.exec('ping', ['-c', '1', '-W', '5', '10.0.1.1'], { check: true })
  t.pass('they reach one another')
  await right.delete()
  t.same([await namesIn(red), await namesIn(box)], [['lo'], ['lo']], 'either end takes the other along')
  await left.delete()
})

t.test('without options, and in one namespace', namespaces, async (t) => {
  const red = await scratch(t)
  const here = await red.links.list()
  const pairs = await Promise.all([
    createVeth({ namespace: red }, { namespace: red }),
    createVeth({ name: 'a', namespace: red, up: true }, { namespace: red, up: true }),
    createVeth({ namespace: red }, { name: 'b%d', namespace: red }),
    createVeth({ name: 'c', namespace: red }, { name: 'd', namespace: red, index: 4000 }),
    createVeth({ name: 'e', namespace: red, index: 4001 }, { namespace: red }),
  ])
  for (const [left, right] of pairs) {
    t.not(left.name, right.name)
    t.same([left.parent, right.parent], [right.index, left.index])
  }
  t.equal((await red.links.list()).length, here.length + 2 * pairs.length)
  t.same([pairs[3]?.[1].index, pairs[4]?.[0].index], [4000, 4001])
  t.match(pairs[2]?.[1].name, /^b\d$/)
  t.ok(
    pairs[1]?.every(({ running }) => running),
    'both up: both have carrier',
  )
})

t.test('both ends in namespaces other than the process', namespaces, async (t) => {
  const red = await scratch(t)
  const box = await scratch(t)
  const [red0, box0] = [await createBridge({ namespace: red }), await createBridge({ namespace: box })]
  const [left, right] = await createVeth(
    { name: 'same', namespace: red, master: red0, up: true, alias: 'left' },
    { name: 'same', namespace: box, master: box0.name, up: true, alias: 'right' },
  )
  t.match(left, { name: 'same', master: red0.index, alias: 'left', running: true })
  t.match(right, { name: 'same', master: box0.index, alias: 'right', running: true })
  const [near] = await createVeth({ namespace: red }, { namespace: red, up: true })
  t.equal(near.running, false)
})

/** Each of these fails in another step. `left` is in red, `right` in box, unless it says otherwise. */
const failures: [what: string, left: NewLink, right: NewLink, expected: object][] = [
  ['a left name that is taken', { name: 'taken' }, {}, { code: 'EEXIST', syscall: 'RTM_NEWLINK' }],
  [
    'a right name that is taken',
    {},
    { name: 'taken' },
    {
      code: 'EEXIST',
      message:
        /^cannot create the veth pair veth%d and taken, as the name taken is taken in namespace \d+: file exists/,
    },
  ],
  ['a left index that is taken', { index: 1 }, {}, { code: /EBUSY|EEXIST/ }],
  ['a right index that is taken', {}, { index: 1 }, { code: /EBUSY|EEXIST/ }],
  [
    'a left address twice',
    { addresses: ['10.0.0.1/24', '10.0.0.1/24'] },
    {},
    { code: 'EEXIST', syscall: 'RTM_NEWADDR' },
  ],
  [
    'a second right address that is wrong',
    { name: 'left' },
    { name: 'right', addresses: ['10.0.0.1/24', { address: '10.0.0.2/24', label: 'other:1' }, '10.0.0.1/24'] },
    { code: 'EEXIST', syscall: 'RTM_NEWADDR', message: /^cannot add 10\.0\.0\.1\/24 to right: / },
  ],
  ['a left MTU that is too large', { mtu: 70_000 }, {}, { code: 'EINVAL', syscall: 'RTM_NEWLINK' }],
  ['a right MTU that is too small', {}, { mtu: 60 }, { code: 'EINVAL', syscall: 'RTM_NEWLINK' }],
  ['a left master that is none', { master: 'lo' }, {}, { code: /^E/, syscall: 'RTM_NEWLINK' }],
  [
    'a right master that is none',
    {},
    { name: 'right', master: 'lo' },
    { code: /^E/, syscall: 'RTM_NEWLINK', message: /^cannot set up right: / },
  ],
  ['a left master that is gone', { master: 'gone' }, {}, { code: 'ENODEV', message: /^left\.master 'gone' in/ }],
  ['a right master that is gone', {}, { master: 'gone' }, { code: 'ENODEV', message: /^right\.master 'gone' in/ }],
  ['a right master by an index that is gone', {}, { master: 7777 }, { code: /^E(NODEV|INVAL)$/ }],
  ['IPv6 of a link with too small an MTU', {}, { mtu: 1000, addresses: ['fd00::1/64'] }, { syscall: 'RTM_NEWADDR' }],
]

t.test('a failure leaves neither end', namespaces, async (t) => {
  const red = await scratch(t)
  const box = await scratch(t)
  await createBridge({ name: 'taken', namespace: red })
  await createBridge({ name: 'taken', namespace: box })
  for (const [what, left, right, expected] of failures) {
    for (const there of [red, box]) {
      const where = there === red ? 'in one namespace' : 'in two namespaces'
      const asked = createVeth({ ...left, namespace: red }, { ...right, namespace: there })
      await t.rejects(asked, { name: 'NetkitError', undoFailure: undefined, ...expected }, `${what}, ${where}`)
      t.same(
        [await namesIn(red), await namesIn(box)],
        [
          ['lo', 'taken'],
          ['lo', 'taken'],
        ],
        'nothing is left',
      )
    }
  }
})

t.test('a right namespace that is closed', namespaces, async (t) => {
  const red = await scratch(t)
  const box = await scratch(t)
  await box.close()
  await t.rejects(createVeth({ namespace: red }, { namespace: box }), { code: 'EBADF' })
  await t.rejects(createVeth({ namespace: box }, { namespace: red }), { code: 'EBADF' })
  t.same(await namesIn(red), ['lo'])
})

t.test('which name is taken', await needs('namespaces'), async (t) => {
  const [red, box] = [await scratch(t), await scratch(t)]
  await createBridge({ name: 'br0', namespace: red, index: 70, alternativeNames: ['second'] })
  await createBridge({ name: 'br0', namespace: box })
  const make = (left: object, right: object) => createVeth({ namespace: red, ...left }, { namespace: red, ...right })
  const taken = (message: RegExp) => ({ code: 'EEXIST', syscall: 'RTM_NEWLINK', message })
  await t.rejects(
    make({ name: 'br0' }, { name: 'b' }),
    taken(/^cannot create the veth pair br0 and b, as the name br0 is taken in/),
  )
  await t.rejects(make({ name: 'a' }, { name: 'br0' }), taken(/pair a and br0, as the name br0 is taken in/))
  await t.rejects(make({ name: 'a' }, { name: 'second' }), taken(/, as the name second is taken in/))
  await t.rejects(
    make({ name: 'a' }, { name: 'br0', namespace: box }),
    taken(new RegExp(`br0 is taken in namespace ${box.inode}: `)),
  )
  await t.rejects(make({ name: 'a', index: 70 }, { name: 'b' }), taken(/, as the index 70 is taken in/))
  await t.rejects(make({ name: 'same' }, { name: 'same' }), taken(/, as both would have the name same: /))
  t.same((await red.links.list({ kind: 'veth' })).length, 0)
})

t.test('the second end is where the first is, unless it says so', namespaces, async (t) => {
  const red = await scratch(t)
  const [a, b] = await createVeth({ name: 'a', namespace: red })
  const [c, d] = await createVeth({ name: 'c', namespace: red }, { name: 'd' })
  for (const link of [a, b, c, d]) t.equal(link.namespace.inode, red.inode, link.name)
  t.equal((await red.links.list({ kind: 'veth' })).length, 4)
})
