/** Refusals by the kernel: their codes and words, and what is said when privileges or kernel features are missing. */
import t from 'tap'
import { createBridge, createLink, createVeth, NetkitError } from '../dist/index.js'
import { needs } from './support/needs.js'
import { askProgram } from './support/program.js'
import { ip, ipDo, scratch } from './support/scratch.js'

const namespaces = await needs('namespaces')

t.test('the extended acknowledgement', namespaces, async (t) => {
  const red = await scratch(t)
  const br0 = await createBridge({ name: 'br0', namespace: red, up: true, addresses: ['10.0.0.1/24'] })
  const refused = async (what: string, call: Promise<unknown>, expected: object) => {
    const error = await call.then(
      () => undefined,
      (reason: unknown) => reason,
    )
    t.ok(error instanceof NetkitError, what)
    t.match(error, { name: 'NetkitError', ...expected }, what)
  }
  await refused("the kernel's words", br0.set({ mtu: 10 }), {
    code: 'EINVAL',
    errno: -22,
    syscall: 'RTM_NEWLINK',
    kernelMessage: 'mtu less than device minimum',
    message: 'cannot change br0: mtu less than device minimum (EINVAL, RTM_NEWLINK)',
  })
  await refused('a gateway out of reach', red.routes.add({ to: '10.9.0.0/16', via: '192.0.2.1' }), {
    code: 'ENETUNREACH',
    syscall: 'RTM_NEWROUTE',
    kernelMessage: 'Nexthop has invalid gateway',
    message: 'cannot add the route to 10.9.0.0/16: Nexthop has invalid gateway (ENETUNREACH, RTM_NEWROUTE)',
  })
  // IFLA_BR_STP_STATE (5) has 32 bits, and gets 8.
  const short = createLink({ kind: 'bridge', namespace: red, data: { '#5': Uint8Array.of(1) } })
  await refused('the attribute by name', short, {
    code: /ERANGE|EINVAL/,
    attribute: 'IFLA_INFO_DATA.IFLA_BR_STP_STATE',
    message: /^cannot create a bridge: .+ \(E\w+, RTM_NEWLINK, IFLA_INFO_DATA\.IFLA_BR_STP_STATE\)$/,
  })
  await refused('an attribute at the top', br0.set({ gsoMaxSize: 1 }), {
    code: /ERANGE|EINVAL/,
    attribute: 'IFLA_GSO_MAX_SIZE',
    message: /^cannot change br0: .+, RTM_NEWLINK, IFLA_GSO_MAX_SIZE\)$/,
  })
  await refused('what has no words', br0.set({ name: 'lo' }), {
    code: 'EEXIST',
    kernelMessage: undefined,
    attribute: undefined,
    message: /^cannot change br0, as the name lo is taken in namespace \d+: file exists \(EEXIST, RTM_NEWLINK\)$/,
  })
  const plain = new NetkitError({ message: 'x', errno: 17, syscall: 'y' })
  t.notOk('kernelMessage' in plain || 'hint' in plain || 'attribute' in plain, 'what is not there is no property')
})

t.test('an attribute that is given raw', await needs('namespaces', 'ip'), async (t) => {
  const red = await scratch(t)
  await createBridge({ name: 'under', namespace: red })
  const made = await ipDo(red, 'link', 'add', 'vx', 'type', 'vxlan', 'id', '9', 'dstport', '4789').then(
    () => true,
    () => false,
  )
  if (!made) return void t.pass('vxlan', { skip: 'this kernel has no vxlan' })
  // IFLA_VXLAN_ID (1) has 24 bits.
  const data = { '#1': new Uint8Array(new Uint32Array([0x0100_0000]).buffer) } as const
  const error: NetkitError = await createLink({ kind: 'vxlan', namespace: red, data }).then(
    () => t.fail('was made'),
    (reason) => reason,
  )
  t.match(error, { code: /ERANGE|EINVAL/, syscall: 'RTM_NEWLINK' })
  t.equal(error.attribute, 'IFLA_INFO_DATA.IFLA_VXLAN_ID', 'is named all the same')
})

t.test('a kind that the kernel lacks', namespaces, async (t) => {
  const red = await scratch(t)
  await t.rejects(createLink({ kind: 'nosuchkind', name: 'x', namespace: red }), {
    name: 'NetkitError',
    code: 'EOPNOTSUPP',
    syscall: 'RTM_NEWLINK',
    message: /^cannot create the nosuchkind x: Unknown device type \(EOPNOTSUPP, RTM_NEWLINK/,
  })
  await t.rejects(red.links.ensure({ kind: 'nosuchkind', name: 'x' }), { code: 'EOPNOTSUPP' })
  t.equal((await red.links.list()).length, 1)
})

/** What a program finds out about its own namespace: the codes and words of what it is refused. */
const unprivileged = `
import { createBridge, createLink, createVeth, currentNamespace } from './dist/index.js'
const host = currentNamespace()
const lo = await host.links.get('lo')
const mac = '02:00:00:00:00:07'
const neighbor = { link: lo, address: '10.99.0.1' }
const outcome = (promise) => promise.then(
  (value) => ({ value: value === undefined ? null : String(value.length ?? value.name ?? value) }),
  ({ name, code, syscall, message, hint }) => ({ name, code, syscall, message, hint }))
console.log(JSON.stringify({
  lo: [lo.name, lo.index, lo.flags.includes('LOOPBACK')],
  reads: await Promise.all([
    host.links.list(), host.addresses.list(), host.routes.list({ table: 'all' }), host.links.find('no-such-link'),
    lo.waitFor({ operationalState: lo.operationalState }), lo.refresh(),
  ].map(outcome)),
  changes: await Promise.all([
    createBridge({ name: 'refused' }), createLink({ kind: 'ifb', name: 'refused' }), createVeth({}, {}), lo.set({ mtu: 1400 }),
    lo.addAddress('127.0.0.9/32'), lo.removeAddress('127.0.0.9/32'), lo.delete(),
    host.routes.add({ to: '10.99.0.0/16', link: lo }), host.routes.remove({ to: '10.99.0.0/16' }),
    host.links.ensure({ kind: 'bridge', name: 'refused' }),
    host.addresses.ensure({ link: lo, address: '127.0.0.9/32' }),
    host.routes.ensure({ to: '10.99.0.0/16', link: lo }),
    host.routes.replace({ to: '10.99.0.0/16', link: lo }), host.routes.append({ to: '10.99.0.0/16', link: lo }),
    host.routes.addMany([{ to: '10.99.0.0/16', link: lo }]),
    host.addresses.replace({ link: lo, address: '127.0.0.9/32' }),
    host.rules.add({ table: 100 }), host.rules.ensure({ table: 100 }), host.rules.remove({ table: 'main' }),
    host.rules.flush({ family: 'inet' }),
    host.nexthops.add({ id: 1, blackhole: true, family: 'inet' }), host.nexthops.add({ blackhole: true, family: 'inet' }),
    host.nexthops.replace({ id: 1, blackhole: true, family: 'inet' }),
    host.nexthops.ensure({ id: 1, blackhole: true, family: 'inet' }), host.nexthops.remove(1),
    host.neighbors.add({ ...neighbor, mac }), host.neighbors.replace({ ...neighbor, mac }), host.neighbors.ensure({ ...neighbor, mac }),
    host.neighbors.remove(neighbor), host.neighbors.proxies.add(neighbor), host.neighbors.proxies.ensure(neighbor),
    host.neighbors.proxies.remove(neighbor),
    lo.fdb.add({ mac }), lo.fdb.replace({ mac }), lo.fdb.ensure({ mac }), lo.fdb.remove({ mac }),
    lo.mdb.add({ group: '239.0.0.1', port: lo }), lo.mdb.replace({ group: '239.0.0.1', port: lo }),
    lo.mdb.remove({ group: '239.0.0.1', port: lo }),
    lo.addAlternativeName('refused'), lo.removeAlternativeName('refused'),
    lo.attachXdp({ fd: 0 }), lo.setVirtualFunction(0, { trust: true }),
    host.namespaceIds.assign(host), host.namespaceIds.ensure(host),
    lo.qdiscs.add({ kind: 'pfifo', limit: 9 }), lo.qdiscs.replace({ kind: 'pfifo', limit: 9 }),
    lo.qdiscs.ensure({ kind: 'pfifo', limit: 9 }), lo.qdiscs.remove({ parent: 'root' }),
    lo.classes.add({ kind: 'htb', parent: '1:', handle: '1:1', rate: 8000 }), lo.classes.remove('1:1'),
    lo.filters.add({ kind: 'matchall', parent: 'root', protocol: 'all', preference: 1 }),
    lo.filters.remove({ parent: 'root', preference: 1 }),
    lo.limit({ egress: '1mbit' }), host.transaction((tx) => tx.rules.add({ table: 100 })),
  ].map(outcome)),
  links: (await host.links.list()).map(({ name }) => name),
}))`

async function checkUnprivileged(t: Parameters<typeof scratch>[0], options: object): Promise<void> {
  const { lo, reads, changes, links } = await askProgram(unprivileged, options)
  t.same(lo.slice(0, 2), ['lo', 1])
  t.same(
    reads.filter((one: object) => !('value' in one)),
    [],
    'reading works',
  )
  t.equal(changes.length, 55)
  for (const { name, code, syscall, message, hint } of changes) {
    t.same([name, code], ['NetkitError', 'EPERM'], message)
    t.match(syscall, /^RTM_(NEW|DEL)(LINK|LINKPROP|ADDR|ROUTE|RULE|NEXTHOP|NEIGH|MDB|NSID|QDISC|TCLASS|TFILTER)$/)
    t.match(hint, /lacks CAP_NET_ADMIN in user namespace \d+/)
    t.match(hint, /owns the process's own namespace; run as root, or inside `unshare/)
    t.ok(message.endsWith(`; ${hint}`))
  }
  t.notOk(links.includes('refused'))
}

t.test('without privileges: another user', await needs('root', 'namespaces', 'setpriv'), async (t) => {
  const wrapper = ['setpriv', '--reuid=65534', '--regid=65534', '--clear-groups', '--inh-caps=-all']
  const possible = await askProgram('console.log(process.getuid())', { wrapper }).catch(() => undefined)
  if (possible !== 65_534)
    return void t.pass('user 65534', { skip: 'this user cannot be another one, or may not read the package' })
  await checkUnprivileged(t, { wrapper })
})

t.test('without privileges: no capabilities', await needs('root', 'namespaces', 'setpriv'), async (t) => {
  await checkUnprivileged(t, { wrapper: ['setpriv', '--bounding-set=-net_admin', '--inh-caps=-net_admin'] })
})

t.test("another user namespace's network", await needs('root', 'namespaces', 'unshare'), async (t) => {
  // A new user namespace has no power over the network namespace that it started in.
  const wrapper = ['unshare', '--user', '--map-root-user']
  const possible = await askProgram('console.log(1)', { wrapper }).catch(() => 0)
  if (possible !== 1) return void t.pass('user namespaces', { skip: 'they cannot be made here' })
  const { changes } = await askProgram(unprivileged, { wrapper })
  for (const { code, hint } of changes) {
    t.equal(code, 'EPERM')
    t.match(hint, /is owned by a user namespace outside of user namespace \d+, in which this process runs/)
    t.match(hint, /so that its CAP_NET_ADMIN does not count there/)
  }
})

t.test('a link that cannot be moved', await needs('namespaces', 'ip'), async (t) => {
  const red = await scratch(t)
  const [left] = await createVeth({ name: 'left', namespace: red }, { namespace: red })
  const lo = await red.links.get('lo')
  await t.rejects(lo.set({ namespace: await scratch(t) }), { code: 'EINVAL', syscall: 'RTM_NEWLINK' }, 'lo stays')
  t.equal(lo.namespace, red)
  t.match(await ip(red, 'link', 'show', 'left'), [{ ifindex: left.index }])
})
