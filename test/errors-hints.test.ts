/** What the errors of wrong options say besides that they are wrong: what was meant, or what there is. */
import t from 'tap'
import { capture, createBridge, createLink, createVeth, type NetkitError, openTap } from '../dist/index.js'
import { needs } from './support/needs.js'
import { refused, TYPE, VALUE, type Wrong } from './support/refused.js'
import { scratch } from './support/scratch.js'

const namespaces = await needs('namespaces')

t.test('the words of iproute2', namespaces, async (t) => {
  const red = await scratch(t)
  const said: [what: string, call: () => unknown, message: string][] = [
    ['dev', () => red.routes.add({ to: 'default', dev: 'lo' } as Wrong), "route 'dev'|'link'"],
    ['gw', () => red.routes.add({ to: 'default', gw: '10.0.0.1' } as Wrong), "route 'gw'|'via'"],
    ['iif', () => red.rules.add({ iif: 'lo' } as Wrong), "rule 'iif'|'inputLink'"],
    ['pref', () => red.rules.add({ pref: 5 } as Wrong), "rule 'pref'|'priority'"],
    ['lladdr', () => red.neighbors.add({ address: '10.0.0.1', lladdr: 'x' } as Wrong), "neighbor 'lladdr'|'mac'"],
    ['vni', () => createLink({ kind: 'vxlan', vni: 5, namespace: red } as Wrong), "options 'vni'|'id'"],
    ['link', () => createLink({ kind: 'vlan', link: 'lo', namespace: red } as Wrong), "options 'link'|'parent'"],
  ]
  for (const [word, call, expected] of said) {
    const [path, name] = expected.split('|')
    await refused(t, word, call, VALUE, `${path}: is not an option here; iproute2's '${word}' is ${name} here`)
  }
  const address = () => openTap({ namespace: red, address: '10.0.0.1/24' } as Wrong)
  await refused(t, 'address', address, VALUE, /iproute2's 'address' is 'mac' here; or did you mean 'addresses'\?$/)
  const snaplen = () => capture({ link: 'lo', namespace: red, snaplen: 96 } as Wrong)
  await refused(t, 'snaplen', snaplen, VALUE, /^options 'snaplen': .*'snaplen' is 'snapshotLength' here$/)
  const bridge = await createBridge({ name: 'br0', namespace: red })
  const dst = () => bridge.fdb.add({ mac: '02:00:00:00:00:01', dst: '10.0.0.1' } as Wrong)
  await refused(t, 'dst', dst, VALUE, "entry 'dst': is not an option here; iproute2's 'dst' is 'destination' here")
  const snooping = () => bridge.set({ mcast_snooping: false } as Wrong)
  await refused(t, 'mcast', snooping, VALUE, /did you mean 'multicastSnooping'\?$/)
  const colour = () => bridge.set({ colour: 5 } as Wrong)
  await refused(t, 'a long list is cut', colour, VALUE, /the options are up, arp(, \w+){18} and \d+ more$/)
  const short = () => red.watch({ colour: true } as Wrong)
  await refused(t, 'a short one is not', short, VALUE, /the options are links, (?!.* more$)/)
})

t.test('kinds', namespaces, async (t) => {
  const red = await scratch(t)
  const make = (options: object) => () => createLink({ namespace: red, ...options } as Wrong)
  const misspelt = async (kind: string) => (await make({ kind })().catch((error: NetkitError) => error)) as NetkitError
  const none = (kind: string) => `this kernel has no links of kind ${kind}, and netkit does not know it either`
  t.equal((await misspelt('Bridge')).hint, `${none('Bridge')}; did you mean 'bridge'?`)
  t.equal((await misspelt('wg')).hint, `${none('wg')}; did you mean 'wireguard'?`)
  t.equal((await misspelt('no-such')).hint, none('no-such'))
  await refused(t, 'an option', make({ kind: 'vxlna', id: 5 }), VALUE, /^options 'id': .*; did you mean 'vxlan'\?$/)
  await refused(t, 'tap', make({ kind: 'tap' }), VALUE, /^options\.kind 'tap': .* use openTap/)
  const parent = "options.parent must be a Link, a link's name or its index, not undefined: a macvlan stands on"
  await refused(t, 'no parent', make({ kind: 'macvlan' }), TYPE, parent)
  const id = 'options.id must be a number from 0 to 16777215, not undefined: a vxlan needs it, unless it is external'
  await refused(t, 'no id', make({ kind: 'vxlan' }), TYPE, id)
  await refused(t, 'no id', make({ kind: 'vxlan', external: false, port: 4789 }), TYPE, id)

  const [left] = await createVeth({ name: 'left', namespace: red }, { namespace: red })
  const tbff = () => left.qdiscs.add({ kind: 'tbff', rate: '1mbit' } as Wrong)
  await refused(t, 'a qdisc', tbff, VALUE, /^qdisc 'rate': is not an option of every qdisc.* 'tbff',.*'tbf'\?$/)
  const matchal = () => left.filters.add({ kind: 'matchal', parent: 'ingress', actions: ['drop'] } as Wrong)
  await refused(t, 'a filter', matchal, VALUE, /^filter 'actions': is not an option of every filter.*'matchall'\?$/)
  const bare = left.qdiscs.add({ kind: 'tbff' } as Wrong)
  await t.rejects(bare, { code: 'ENOENT', hint: /no qdisc 'tbff': CONFIG_NET_SCH_TBFF; did you mean 'tbf'\?$/ })
})

t.test('a vxlan that is external', await needs('namespaces', 'kind:vxlan'), async (t) => {
  const red = await scratch(t)
  const external = await createLink({ kind: 'vxlan', name: 'vx', external: true, port: 4789, namespace: red })
  t.equal(external.options.external, true, 'needs no id')
})

t.test('routes', namespaces, async (t) => {
  const red = await scratch(t)
  const add = (route: object) => () => red.routes.add(route as Wrong)
  const table = "route.table '100': expected one of default, main, local, or a number"
  await refused(t, 'table', add({ to: 'default', table: '100' }), VALUE, table)
  const nowhere = "route.to '10.8.0.0/16': leads nowhere: give via, link, nexthops or nexthopId, or a type as blackhole"
  for (const verb of ['add', 'append', 'replace'] as const) {
    await refused(t, verb, () => red.routes[verb]({ to: '10.8.0.0/16' }), VALUE, nowhere)
  }
  const first = nowhere.replace('route.to', 'routes[0].to')
  await refused(t, 'many', () => red.routes.addMany([{ to: '10.8.0.0/16' }]), VALUE, first)
  await t.rejects(red.routes.ensure({ to: '10.8.0.0/16' }), { code: VALUE, message: nowhere })
  await red.routes.add({ to: '10.8.0.0/16', type: 'blackhole' })
  t.ok(await red.routes.find({ to: '10.8.0.0/16' }), 'to look for one, the destination is enough')
  await red.routes.remove({ to: '10.8.0.0/16' })
})

t.test('bridges that the kernel was built without VLANs for', namespaces, async (t) => {
  const red = await scratch(t)
  const bridge = await createBridge({ name: 'br0', namespace: red })
  const ways = [
    () => createBridge({ namespace: red, vlanFiltering: true }),
    () => createLink({ kind: 'bridge', namespace: red, vlanFiltering: true }),
    () => bridge.set({ vlanFiltering: true }),
  ]
  const hint = 'this kernel has no vlanFiltering: CONFIG_BRIDGE_VLAN_FILTERING gives it'
  const able = await ways[0]?.().then(
    () => true,
    () => false,
  )
  if (able) return void t.pass('VLANs', { skip: 'this kernel has them' })
  for (const way of ways) await t.rejects(way(), { code: 'EOPNOTSUPP', hint })
})

t.test('what the types refuse', namespaces, async (t) => {
  const red = await scratch(t)
  const [left] = await createVeth({ name: 'left', namespace: red }, { namespace: red })
  // @ts-expect-error: a vxlan needs an id, unless it is external
  await t.rejects(createLink({ kind: 'vxlan', namespace: red }), { code: TYPE })
  // @ts-expect-error: that is an option of bridges
  await t.rejects(left.set({ ageingTime: 1000 }), { code: VALUE })
})
