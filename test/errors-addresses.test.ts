/** Wrong addresses, routes, filters and references: the documented error, before anything is sent. */
import t from 'tap'
import { createBridge, type Link, type Namespace } from '../dist/index.js'
import { needs } from './support/needs.js'
import { RANGE, refused, TYPE, VALUE, type Wrong, wrongAddresses } from './support/refused.js'
import { scratch } from './support/scratch.js'

const wrongAddressOptions: [options: object, code: string, message: RegExp][] = [
  [{ label: '' }, VALUE, /^PATH\.label '': must have 1 to 15 bytes/],
  [{ label: 'br0:too-long-for-it' }, VALUE, /^PATH\.label/],
  [{ label: 5 }, TYPE, /^PATH\.label must be a string/],
  [{ broadcast: '10.0.0' }, VALUE, /^PATH\.broadcast '10\.0\.0': an IPv4 address/],
  [{ broadcast: true }, TYPE, /^PATH\.broadcast must be a string/],
  [{ broadcast: 'fd00::1' }, VALUE, /^PATH\.broadcast 'fd00::1': is not of the address's family/],
  [{ peer: 'fd00::1' }, VALUE, /^PATH\.peer 'fd00::1': is not of the address's family/],
  [{ peer: '10.0.0.2/33' }, VALUE, /^PATH\.peer/],
  [{ scope: 'world' }, VALUE, /^PATH\.scope 'world': expected one of global, site, link, host, nowhere/],
  [{ scope: 0 }, TYPE, /^PATH\.scope/],
  [{ metric: -1 }, RANGE, /^PATH\.metric must be from 0/],
  [{ noDad: 1 }, TYPE, /^PATH\.noDad must be true or false/],
  [{ noPrefixRoute: 'x' }, TYPE, /^PATH\.noPrefixRoute/],
  [{ validLifetime: 1500 }, VALUE, /^PATH\.validLifetime 1500: must be whole seconds/],
  [{ validLifetime: -1000 }, RANGE, /^PATH\.validLifetime/],
  [{ preferredLifetime: '1' }, TYPE, /^PATH\.preferredLifetime/],
  [{ validLifetime: 1000, preferredLifetime: 2000 }, VALUE, /^PATH\.preferredLifetime 2000: is longer than/],
  [{ lable: 'x' }, VALUE, /^PATH 'lable': is not an option here; did you mean 'label'\?/],
]

const wrongRoutes: [route: Wrong, code: string, message: RegExp][] = [
  [undefined, TYPE, /^route must be an object/],
  ['10.0.0.0/8', TYPE, /^route must be an object/],
  [{}, TYPE, /^route\.to must be a string, not undefined/],
  [{ to: 5 }, TYPE, /^route\.to must be a string/],
  [{ to: 'everything' }, VALUE, /^route\.to 'everything': is not an IPv4 or IPv6 address/],
  [
    { to: '10.0.0.1/24' },
    VALUE,
    /^route\.to '10\.0\.0\.1\/24': has bits set after its prefix; the network is '10\.0\.0\.0\/24'/,
  ],
  [{ to: 'fd00::1/64' }, VALUE, /^route\.to .*the network is 'fd00::\/64'/],
  [{ to: '10.0.0.0/33' }, VALUE, /^route\.to/],
  [{ to: 'default', via: 'gateway' }, VALUE, /^route\.via 'gateway'/],
  [{ to: 'default', via: '10.0.0.1/24' }, VALUE, /^route\.via/],
  [{ to: 'default', via: 1 }, TYPE, /^route\.via/],
  [{ to: 'default', link: {} }, TYPE, /^route\.link must be a Link/],
  [{ to: 'default', link: '' }, VALUE, /^route\.link '': is empty/],
  [{ to: 'default', link: -1 }, VALUE, /^route\.link/],
  [{ to: 'default', table: 'mian' }, VALUE, /^route\.table 'mian': expected one of default, main, local/],
  [{ to: 'default', table: -1 }, RANGE, /^route\.table/],
  [{ to: 'default', table: {} }, TYPE, /^route\.table/],
  [{ to: 'default', type: 'black' }, VALUE, /^route\.type 'black': expected one of/],
  [{ to: 'default', scope: 'here' }, VALUE, /^route\.scope 'here': expected one of/],
  [{ to: 'default', scope: 256 }, RANGE, /^route\.scope/],
  [{ to: 'default', type: true }, TYPE, /^route\.type/],
  [{ to: 'default', protocol: 'me' }, VALUE, /^route\.protocol 'me'/],
  [{ to: 'default', protocol: 256 }, RANGE, /^route\.protocol/],
  [{ to: 'default', metric: '5' }, TYPE, /^route\.metric/],
  [{ to: 'default', mtu: 0 }, RANGE, /^route\.mtu must be from 1 to 65520/],
  [{ to: 'default', onlink: 'no' }, TYPE, /^route\.onlink/],
  [{ to: '10.0.0.0/8', source: 'fd00::1' }, VALUE, /^route\.source 'fd00::1': is not of the destination's family/],
  [{ to: '10.0.0.0/8', dev: 'eth0' }, VALUE, /^route 'dev': is not an option here/],
  [{ to: '10.0.0.0/8', metrc: 5 }, VALUE, /^route 'metrc': is not an option here; did you mean 'metric'\?/],
  [{ to: 'fd00::/64', via: '10.0.0.1' }, VALUE, /^route\.via '10\.0\.0\.1': is IPv4, and leads to no IPv6 destination/],
]

const namespaces = await needs('namespaces')

async function withBridge(t: Wrong): Promise<{ red: Namespace; link: Link }> {
  const red = await scratch(t)
  return { red, link: await createBridge({ name: 'br0', namespace: red }) }
}

t.test('addresses', namespaces, async (t) => {
  const { red, link } = await withBridge(t)
  for (const [value, message] of wrongAddresses) {
    await refused(t, 'add', () => red.addresses.add({ link, address: value }), VALUE, `options.address${message}`)
    await refused(t, 'ensure', () => red.addresses.ensure({ link, address: value }), VALUE, `options.address${message}`)
    await refused(t, 'addAddress', () => link.addAddress(value), VALUE, `address${message}`)
    await refused(t, 'removeAddress', () => link.removeAddress(value), VALUE, `address${message}`)
  }
  for (const [options, code, message] of wrongAddressOptions) {
    const at = (path: string) => new RegExp(message.source.replace('PATH', path.replace(/[.[\]]/g, '\\$&')))
    const address = '10.0.0.1/24'
    const what = JSON.stringify(options)
    await refused(t, what, () => red.addresses.replace({ link, address, ...options }), code, at('options'))
    await refused(t, what, () => link.addAddress(address, options), code, at('options'))
    const addresses = [{ address, ...options }] as Wrong
    await refused(t, what, () => createBridge({ namespace: red, addresses }), code, at('options.addresses[0]'))
  }
  const six = 'fd00::1/64'
  await refused(
    t,
    'label',
    () => link.addAddress(six, { label: 'br0' }),
    VALUE,
    "options.label 'br0': only IPv4 addresses have labels",
  )
  await refused(
    t,
    'broadcast',
    () => link.addAddress(six, { broadcast: '+' }),
    VALUE,
    "options.broadcast '+': only IPv4 addresses have one",
  )
  const { addresses } = red
  const wrong = { link, address: 5 } as Wrong
  await refused(t, 'not a string', () => addresses.add(wrong), TYPE, 'options.address must be a string, not 5')
  await refused(
    t,
    'no link',
    () => addresses.add({ address: '10.0.0.1/24' } as Wrong),
    TYPE,
    'options.link must be a Link',
  )
  await refused(t, 'nothing', () => addresses.add(undefined as Wrong), TYPE, 'options must be an object')
  await refused(
    t,
    'filter',
    () => addresses.list({ family: 'ipv4' as Wrong }),
    VALUE,
    "filter.family 'ipv4': expected one of inet, inet6",
  )
  await refused(t, 'filter', () => addresses.list({ scope: 'x' as Wrong }), VALUE, "filter.scope 'x'")
  await refused(
    t,
    'filter',
    () => addresses.list({ adress: '1' } as Wrong),
    VALUE,
    "filter 'adress': is not an option here; did you mean 'address'?",
  )
  await refused(t, 'filter', () => addresses.find('10.0.0'), VALUE, "filter.address '10.0.0'")
  await refused(t, 'flush', () => link.flushAddresses({ family: 4 as Wrong }), TYPE, 'filter.family')
})

t.test('routes, and the ways to name a link', namespaces, async (t) => {
  const { red, link } = await withBridge(t)
  for (const [route, code, message] of wrongRoutes) {
    for (const method of ['add', 'replace', 'ensure', 'remove'] as const) {
      await refused(t, `${method} ${JSON.stringify(route)}`, () => red.routes[method](route), code, message)
    }
  }
  const { routes, links } = red
  await refused(t, 'filter', () => routes.list({ to: '10.0.0' }), VALUE, "filter.to '10.0.0'")
  await refused(t, 'filter', () => routes.list({ via: 'x' }), VALUE, "filter.via 'x'")
  await refused(t, 'filter', () => routes.list({ table: 'x' as Wrong }), VALUE, "filter.table 'x'")
  await refused(t, 'filter', () => routes.list({ protocol: 'x' as Wrong }), VALUE, "filter.protocol 'x'")
  await refused(t, 'filter', () => routes.list({ type: true as Wrong }), TYPE, 'filter.type')
  await refused(t, 'filter', () => routes.list({ mertic: 5 } as Wrong), VALUE, "filter 'mertic': is not an option here")
  await refused(t, 'lookup', () => routes.lookup('example.org'), VALUE, "address 'example.org'")
  const references: [Wrong, string, string][] = [
    ['', VALUE, "link '': is empty"],
    ['x'.repeat(128), VALUE, "link 'xxx"],
    ['a/b', VALUE, "link 'a/b': may not contain"],
    [0, VALUE, 'link 0: is not the index of a link'],
    [1.5, TYPE, 'link must be an integer, not 1.5'],
    [undefined, TYPE, "link must be a Link, a link's name or its index, not undefined"],
    [{ name: 'br0', index: 2 }, TYPE, 'link must be a Link'],
  ]
  for (const [reference, code, message] of references) {
    await refused(t, 'get', () => links.get(reference), code, message)
    await refused(t, 'find', () => links.find(reference), code, message)
    await refused(t, 'remove', () => links.remove(reference), code, message)
  }
  await refused(t, 'filter', () => links.list({ kind: 5 as Wrong }), TYPE, 'filter.kind must be a string')
  await refused(t, 'filter', () => links.list({ up: 'yes' as Wrong }), TYPE, 'filter.up must be true or false')
  await refused(
    t,
    'filter',
    () => links.list({ king: 'veth' } as Wrong),
    VALUE,
    "filter 'king': is not an option here; did you mean 'kind'?",
  )
  const waits: [Wrong, Wrong, string, string][] = [
    [undefined, {}, TYPE, 'condition must be an object or a function, not undefined'],
    [{ runing: true }, {}, VALUE, "condition 'runing': is not an option here; did you mean 'running'?"],
    [{ up: 1 }, {}, TYPE, 'condition.up must be true or false, not 1'],
    [{ operationalState: 'on' }, {}, VALUE, "condition.operationalState 'on': expected one of"],
    [{}, { timeout: -1 }, RANGE, 'options.timeout'],
    [{}, { timeout: '1s' }, TYPE, 'options.timeout must be an integer'],
    [{}, { signal: 5 }, TYPE, 'options.signal must be an AbortSignal, not 5'],
    [{}, { time: 5 }, VALUE, "options 'time': is not an option here"],
  ]
  for (const [condition, options, code, message] of waits) {
    await refused(t, 'waitFor', () => link.waitFor(condition, options), code, message)
  }
})
