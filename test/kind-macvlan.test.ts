/** macvlan, macvtap, ipvlan and ipvtap, held against iproute2. */
import t from 'tap'
import { createLink, createVeth, type Namespace } from '../dist/index.js'
import { refereeKind, type Said } from './support/kind-referee.js'
import { needs } from './support/needs.js'
import { refused, TYPE, VALUE, type Wrong } from './support/refused.js'
import { scratch } from './support/scratch.js'

const prepare = (namespace: Namespace) => createVeth({ name: 'base', namespace, up: true }, { namespace, up: true })
const macs = ['02:00:00:00:00:01', '02:00:00:00:00:02']
const mode = (word: string): Said => ({ options: { mode: word }, words: ['mode', word] })
const passthrough: Said = { options: { mode: 'passthrough' }, words: ['mode', 'passthru'] }

for (const kind of ['macvlan', 'macvtap']) {
  await refereeKind(t, {
    kind,
    prepare,
    parent: 'base',
    cases: [
      { option: 'mode', value: 'bridge', words: ['mode', 'bridge'], shown: ['mode', 'bridge'] },
      { option: 'mode', value: 'private', words: ['mode', 'private'], shown: ['mode', 'private'] },
      { option: 'mode', value: 'passthrough', words: ['mode', 'passthru'], shown: ['mode', 'passthru'], change: false },
      { option: 'mode', value: 'source', words: ['mode', 'source'], shown: ['mode', 'source'], change: false },
      {
        option: 'flags',
        value: { noPromiscuous: true },
        read: { noPromiscuous: true, noDestination: false },
        with: passthrough,
        words: ['nopromisc'],
        shown: ['nopromisc', true],
      },
      {
        option: 'flags',
        value: { noDestination: true },
        with: mode('source'),
        words: ['flag', 'nodst'],
        shown: ['nodst', true],
      },
      {
        option: 'macAddresses',
        value: macs.slice(1),
        with: mode('source'),
        words: ['macaddr', 'set', ...macs.slice(1)],
        shown: ['macaddr_data', macs.slice(1)],
      },
      { option: 'broadcastQueueLength', value: 2000, words: ['bcqueuelen', '2000'], shown: ['bcqueuelen', 2000] },
      { option: 'broadcastCutoff', value: 7, needs: 'kernel:6.4' },
    ],
    reads: {
      broadcastQueueLengthUsed: (data) => data.usedbcqueuelen,
      macAddressCount: (data) => data.macaddr_count ?? 0,
    },
    excused: { change: 'goes along with macAddresses', changed: 'the same' },
  })
}

t.test('the senders of a source macvlan', await needs('namespaces', 'kind:macvlan'), async (t) => {
  const red = await scratch(t)
  await prepare(red)
  const options = { kind: 'macvlan', name: 'm', parent: 'base', mode: 'source', macAddresses: macs } as const
  const link = await red.links.add(options)
  t.same([...(link.options.macAddresses ?? [])].sort(), macs)
  t.same((await red.links.ensure({ ...options, macAddresses: [...macs].reverse() })).changes, [], 'in any order')
  const one = macs.slice(1)
  const ensured = await red.links.ensure({ ...options, macAddresses: one })
  t.match(ensured.changes, ['macAddresses'])
  t.same(ensured.link.options.macAddresses, one, 'the list is replaced')
  await link.set({ macAddresses: [] })
  t.match(link.options, { macAddressCount: 0, macAddresses: undefined }, 'or emptied')
  t.same((await red.links.ensure({ ...options, macAddresses: [] })).changes, [])
  const make = (more: object) => () => createLink({ ...options, namespace: red, ...more } as Wrong)
  await refused(t, 'a mode', make({ mode: 'bridge' }), VALUE, /^options.macAddresses .*: goes with mode 'source'$/)
  await refused(t, 'a MAC', make({ macAddresses: ['x'] }), VALUE, /is not a hardware address$/)
  await refused(t, 'a flag', make({ flags: { nodst: true } }), VALUE, "options.flags 'nodst': is not an option here")
  await refused(t, 'a flag', make({ flags: { noDestination: 1 } }), TYPE, 'options.flags.noDestination must be true')
  await refused(t, 'a word', make({ mode: 'bridged' }), VALUE, "options.mode 'bridged': expected one of private, vepa")
})

for (const kind of ['ipvlan', 'ipvtap']) {
  await refereeKind(t, {
    kind,
    prepare,
    parent: 'base',
    cases: [
      { option: 'mode', value: 'l2', words: ['mode', 'l2'], shown: ['mode', 'l2'] },
      { option: 'mode', value: 'l3s', words: ['mode', 'l3s'], shown: ['mode', 'l3s'] },
      {
        option: 'flags',
        value: { private: true },
        read: { private: true, vepa: false },
        words: ['private'],
        shown: ['private', true],
      },
      { option: 'flags', value: { vepa: true }, words: ['vepa'], shown: ['vepa', true] },
    ],
  })
}
