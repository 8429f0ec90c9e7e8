/** vlan, held against iproute2. */
import t from 'tap'
import { createVeth, type Namespace } from '../dist/index.js'
import { refereeKind } from './support/kind-referee.js'
import { needs } from './support/needs.js'
import { refused, TYPE, VALUE, type Wrong } from './support/refused.js'
import { scratch } from './support/scratch.js'

const prepare = (namespace: Namespace) => createVeth({ name: 'base', namespace, up: true }, { namespace, up: true })
const flags = (...names: string[]) => ['flags', names] as const

await refereeKind(t, {
  kind: 'vlan',
  prepare,
  parent: 'base',
  base: { options: { id: 7 }, words: ['id', '7'] },
  cases: [
    { option: 'id', value: 10, words: ['id', '10'], shown: ['id', 10], change: false },
    {
      option: 'protocol',
      value: '802.1ad',
      words: ['protocol', '802.1ad'],
      shown: ['protocol', '802.1ad'],
      change: false,
    },
    // The kernel tells of flags only when one is set.
    { option: 'flags', value: { reorderHeader: false }, read: undefined, words: ['reorder_hdr', 'off'] },
    {
      option: 'flags',
      value: { reorderHeader: false, gvrp: true },
      read: { reorderHeader: false, gvrp: true, mvrp: false, looseBinding: false, bridgeBinding: false },
      words: ['reorder_hdr', 'off', 'gvrp', 'on'],
      shown: flags('GVRP'),
    },
    { option: 'flags', value: { gvrp: true }, words: ['gvrp', 'on'], shown: flags('REORDER_HDR', 'GVRP') },
    { option: 'flags', value: { mvrp: true }, words: ['mvrp', 'on'], shown: flags('REORDER_HDR', 'MVRP') },
    {
      option: 'flags',
      value: { looseBinding: true },
      read: { reorderHeader: true, looseBinding: true },
      words: ['loose_binding', 'on'],
      shown: flags('REORDER_HDR', 'LOOSE_BINDING'),
    },
    {
      option: 'flags',
      value: { bridgeBinding: true },
      words: ['bridge_binding', 'on'],
      shown: flags('REORDER_HDR', 'BRIDGE_BINDING'),
    },
    {
      option: 'egressPriorities',
      value: { 0: 3, 6: 5 },
      words: ['egress-qos-map', '0:3', '6:5'],
      shown: [
        'egress_qos',
        [
          { from: 0, to: 3 },
          { from: 6, to: 5 },
        ],
      ],
    },
    {
      option: 'ingressPriorities',
      value: { 1: 4 },
      words: ['ingress-qos-map', '1:4'],
      shown: ['ingress_qos', [{ from: 1, to: 4 }]],
    },
  ],
})

t.test('what cannot change, and what is taken away', await needs('namespaces', 'kind:vlan'), async (t) => {
  const red = await scratch(t)
  await prepare(red)
  const options = { kind: 'vlan', name: 'base.10', parent: 'base', id: 10, egressPriorities: { 1: 2, 3: 4 } } as const
  const link = await red.links.add(options)
  await t.rejects(red.links.ensure({ ...options, id: 11 }), {
    code: 'EEXIST',
    message: /^cannot make base.10 such a vlan: a link of that name has id 10/,
  })
  await link.set({ egressPriorities: { 1: 0 } })
  t.same(link.options.egressPriorities, { 3: 4 }, 'a mapping to 0 is none')
  t.same((await red.links.ensure({ ...options, egressPriorities: { 1: 0, 3: 4 } })).changes, [])
  const replaced = await red.links.replace({ ...options, mtu: 1300 })
  t.match(replaced, { mtu: 1300, options: { id: 10 } }, 'replaced, although there cannot be two')
  const change = (changes: Wrong) => () => replaced.set(changes)
  await refused(t, 'id', change({ id: 11 }), VALUE, 'changes.id 11: stays as it is once the vlan is made')
  await refused(t, 'a map', change({ egressPriorities: 3 }), TYPE, 'changes.egressPriorities must be an object, { from')
  await refused(t, 'a key', change({ egressPriorities: { x: 3 } }), TYPE, 'a key of changes.egressPriorities must be')
})
