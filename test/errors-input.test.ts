/** Wrong input: the documented error, with the option's name as the caller wrote it, and nothing is sent. */
import t from 'tap'
import { createBridge, createLink, createVeth, type Link, type Namespace } from '../dist/index.js'
import { needs } from './support/needs.js'
import { requestsDuring } from './support/netlink.js'
import { scratch } from './support/scratch.js'

const TYPE = 'ERR_INVALID_ARG_TYPE'
const VALUE = 'ERR_INVALID_ARG_VALUE'
const RANGE = 'ERR_OUT_OF_RANGE'

// biome-ignore lint/suspicious/noExplicitAny: what TypeScript would not let pass
type Wrong = any

/** What a name of a new link may not be. */
const wrongNames: [value: Wrong, code: string, message: string][] = [
  ['', VALUE, "'': is empty"],
  ['sixteen-bytes-00', VALUE, "'sixteen-bytes-00': has 16 bytes, and a link's name may have 15"],
  ['ünicöde-bytes', VALUE, ''],
  ['äääääääää', VALUE, "'äääääääää': has 18 bytes, and a link's name may have 15"],
  ['a/b', VALUE, `'a/b': may not contain "/"`],
  ['a b', VALUE, `'a b': may not contain " "`],
  ['a\n', VALUE, `'a\\n': may not contain "\\n"`],
  ['a:1', VALUE, `'a:1': may not contain ":"`],
  ['a\0b', VALUE, `'a\\x00b': may not contain "\\u0000"`],
  ['.', VALUE, "'.': is not a name that a link may have"],
  ['..', VALUE, "'..': is not a name that a link may have"],
  ['%', VALUE, "'%': may contain '%' only as one '%d', in whose place the kernel puts a number"],
  ['a%s', VALUE, "'a%s': may contain '%' only as one '%d', in whose place the kernel puts a number"],
  ['%d%d', VALUE, "'%d%d': may contain '%' only as one '%d', in whose place the kernel puts a number"],
  [7, TYPE, ' must be a string, not 7'],
  [null, TYPE, ' must be a string, not null'],
  [{}, TYPE, ' must be a string, not {}'],
]

/** Wrong options that every link has: [option, value, code, the message after `path.option`]. */
const wrongSettings: [option: string, value: Wrong, code: string, message: string][] = [
  ['up', 1, TYPE, ' must be true or false, not 1'],
  ['arp', 'yes', TYPE, " must be true or false, not 'yes'"],
  ['multicast', null, TYPE, ' must be true or false, not null'],
  ['allMulticast', 0, TYPE, ' must be true or false, not 0'],
  ['promiscuous', {}, TYPE, ' must be true or false, not {}'],
  ['mtu', '1500', TYPE, " must be an integer, not '1500'"],
  ['mtu', 1500.5, TYPE, ' must be an integer, not 1500.5'],
  ['mtu', Number.NaN, TYPE, ' must be an integer, not NaN'],
  ['mtu', -1, RANGE, ' must be from 0 to 4294967295, not -1'],
  ['mtu', 2 ** 32, RANGE, ' must be from 0 to 4294967295, not 4294967296'],
  ['mtu', 1500n, TYPE, ' must be an integer, not 1500n'],
  ['group', -1, RANGE, ' must be from 0 to 4294967295, not -1'],
  ['group', 'default', TYPE, " must be an integer, not 'default'"],
  ['txQueueLength', -5, RANGE, ' must be from 0 to 4294967295, not -5'],
  ['gsoMaxSize', Number.POSITIVE_INFINITY, TYPE, ' must be an integer, not Infinity'],
  ['gsoMaxSegments', '1', TYPE, " must be an integer, not '1'"],
  ['groMaxSize', [], TYPE, ' must be an integer, not []'],
  ['mac', 2, TYPE, ' must be a string, not 2'],
  ['mac', '', VALUE, " '': a MAC address is six hexadecimal octets, as in '02:00:00:00:00:01'"],
  ['mac', '02:00:00:00:00', VALUE, ''],
  ['mac', '02:00:00:00:00:0', VALUE, ''],
  ['mac', '02:00:00:00:00:01:02', VALUE, ''],
  ['mac', '02:00-00:00:00:01', VALUE, ''],
  ['mac', '02:00:00:00:00:0g', VALUE, ''],
  ['mac', ' 02:00:00:00:00:01', VALUE, ''],
  ['mac', '01:00:00:00:00:01', VALUE, " '01:00:00:00:00:01': is a multicast address, which no interface may have"],
  ['mac', 'ff:ff:ff:ff:ff:ff', VALUE, ''],
  ['mac', '00:00:00:00:00:00', VALUE, " '00:00:00:00:00:00': is all zeros, which no interface may have"],
  ['master', {}, TYPE, " must be a Link, a link's name or its index, not {}"],
  ['master', '', VALUE, " '': is empty"],
  ['master', 0, VALUE, ' 0: is not the index of a link: they start at 1'],
  ['master', 1.5, TYPE, ' must be an integer, not 1.5'],
  ['master', 2 ** 31, VALUE, ''],
  ['alias', 5, TYPE, ' must be a string, not 5'],
  ['alias', 'x'.repeat(256), VALUE, ''],
  ['addressGeneration', 'none!', VALUE, " 'none!': expected one of eui64, none, stable-privacy, random"],
  ['addressGeneration', 1, TYPE, ' must be one of eui64, none, stable-privacy, random, not 1'],
]

const wrongOfNew: typeof wrongSettings = [
  ['index', 0, VALUE, ' 0: is not the index of a link: they start at 1'],
  ['index', '5', TYPE, " must be an integer, not '5'"],
  ['txQueues', 0, RANGE, ' must be from 1 to 4096, not 0'],
  ['rxQueues', 5000, RANGE, ' must be from 1 to 4096, not 5000'],
  ['namespace', 'red', TYPE, " must be a Namespace, not 'red'"],
  ['namespace', { fd: 3, inode: 4 }, TYPE, ' must be a Namespace, not { fd: 3, inode: 4 }'],
  ['namespace', null, TYPE, ' must be a Namespace, not null'],
  ['addresses', '10.0.0.1/24', TYPE, " must be an array, not '10.0.0.1/24'"],
  ['addresses', [5], TYPE, '[0] must be an object, not 5'],
  [
    'addresses',
    ['10.0.0.1/24', '10.0.0.1'],
    VALUE,
    "[1] '10.0.0.1': the prefix length is missing, as in '10.0.0.1/24'",
  ],
]

/** Wrong addresses: [value, message after the option's name]. */
const wrongAddresses: [value: string, message: string][] = [
  ['', " '': is not an IPv4 or IPv6 address"],
  ['10.0.0/24', " '10.0.0/24': an IPv4 address is four numbers from 0 to 255, without leading zeros"],
  ['10.0.0.256/24', ''],
  ['10.0.0.01/24', ''],
  ['10.0.0.1.1/24', ''],
  ['10.0.0.1/33', " '10.0.0.1/33': the prefix length must be a number from 0 to 32"],
  ['10.0.0.1/-1', ''],
  ['10.0.0.1/', ''],
  ['10.0.0.1/24/24', ''],
  ['10.0.0.1/255.255.255.0', ''],
  ['10.0.0.1 /24', ''],
  ['fd00::1', " 'fd00::1': the prefix length is missing, as in 'fd00::1/64'"],
  ['fd00::1/129', " 'fd00::1/129': the prefix length must be a number from 0 to 128"],
  ['fd00:::1/64', ''],
  ['fd00::1::/64', ''],
  ['fg00::1/64', ''],
  ['fe80::1%eth0/64', " 'fe80::1%eth0/64': an address has no zone here; name the link instead"],
  ['localhost/8', ''],
]

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
  [{ to: 'default', scope: 3 }, TYPE, /^route\.scope/],
  [{ to: 'default', protocol: 'me' }, VALUE, /^route\.protocol 'me'/],
  [{ to: 'default', protocol: 256 }, RANGE, /^route\.protocol/],
  [{ to: 'default', metric: '5' }, TYPE, /^route\.metric/],
  [{ to: 'default', mtu: 0 }, RANGE, /^route\.mtu must be from 1/],
  [{ to: 'default', onlink: 'no' }, TYPE, /^route\.onlink/],
  [{ to: '10.0.0.0/8', source: 'fd00::1' }, VALUE, /^route\.source 'fd00::1': is not of the destination's family/],
  [{ to: '10.0.0.0/8', dev: 'eth0' }, VALUE, /^route 'dev': is not an option here/],
  [{ to: '10.0.0.0/8', metrc: 5 }, VALUE, /^route 'metrc': is not an option here; did you mean 'metric'\?/],
  [{ to: 'fd00::/64', via: '10.0.0.1' }, VALUE, /^route\.via '10\.0\.0\.1': is IPv4, and leads to no IPv6 destination/],
]

/** Calls, and checks that it is refused with this code and a message that begins so, before anything is sent. */
async function refused(t: Wrong, what: string, call: () => unknown, code: string, message: RegExp | string) {
  let error: Wrong
  const sent = await requestsDuring(async () => {
    try {
      await call()
    } catch (reason) {
      error = reason
    }
  })
  const said: string = error?.message ?? 'nothing was thrown'
  const right = typeof message === 'string' ? said.startsWith(message) : message.test(said)
  const type = code === TYPE ? TypeError : RangeError
  const found = { code: error?.code, isType: error instanceof type, message: right ? message : said, sent }
  t.same(found, { code, isType: true, message, sent: 0 }, `${what}: ${said}`)
}

const namespaces = await needs('namespaces')

/** A namespace, a link in it, and the ways to say something about a link: what, the path of the options, and the call. */
async function ways(t: Wrong): Promise<{ red: Namespace; link: Link; news: [string, (options: Wrong) => unknown][] }> {
  const red = await scratch(t)
  const link = await createBridge({ name: 'br0', namespace: red })
  return {
    red,
    link,
    news: [
      ['options', (options) => createLink({ kind: 'bridge', namespace: red, ...options })],
      ['options', (options) => createBridge({ namespace: red, ...options })],
      ['left', (options) => createVeth({ namespace: red, ...options }, { namespace: red })],
      ['right', (options) => createVeth({ namespace: red }, { namespace: red, ...options })],
    ],
  }
}

t.test('options of links', namespaces, async (t) => {
  const { red, link, news } = await ways(t)
  for (const [path, call] of news) {
    for (const [name, code, message] of wrongNames) {
      if (Buffer.byteLength(String(name)) === 15) continue
      await refused(
        t,
        `${path}.name`,
        () => call({ name }),
        code,
        `${path}.name${message === '' ? '' : message[0] === ' ' ? message : ` ${message}`}`,
      )
    }
    for (const [option, value, code, message] of [...wrongSettings, ...wrongOfNew]) {
      await refused(t, `${path}.${option}`, () => call({ [option]: value }), code, `${path}.${option}${message}`)
    }
    for (const [value, message] of wrongAddresses) {
      const path0 = `${path}.addresses[0]`
      await refused(t, path0, () => call({ addresses: [value] }), VALUE, `${path0}${message}`)
      await refused(t, path0, () => call({ addresses: [{ address: value }] }), VALUE, `${path0}.address${message}`)
    }
    await refused(
      t,
      'a typo',
      () => call({ mtuu: 5 }),
      VALUE,
      `${path} 'mtuu': is not an option here; did you mean 'mtu'?`,
    )
    await refused(
      t,
      'unknown',
      () => call({ colour: 5 }),
      VALUE,
      `${path} 'colour': is not an option here; the options are up, arp`,
    )
  }
  for (const [option, value, code, message] of wrongSettings) {
    await refused(t, `changes.${option}`, () => link.set({ [option]: value }), code, `changes.${option}${message}`)
  }
  await refused(t, 'set', () => link.set({ name: 'br%d' }), VALUE, "changes.name 'br%d': may not contain '%'")
  await refused(t, 'set', () => link.set({ namespace: 'red' as Wrong }), TYPE, 'changes.namespace must be a Namespace')
  await refused(t, 'set', () => link.set({ index: 5 } as Wrong), VALUE, "changes 'index': is not an option here")
  await refused(t, 'set', () => link.set(null as Wrong), TYPE, 'changes must be an object')
  await refused(t, 'add', () => red.links.add(null as Wrong), TYPE, 'options must be an object')
  await refused(t, 'left', () => createVeth(null as Wrong), TYPE, 'left must be an object')
  await refused(t, 'right', () => createVeth({}, 'x' as Wrong), TYPE, 'right must be an object')
  await refused(t, 'options', () => createBridge('br0' as Wrong), TYPE, 'options must be an object')
  t.equal((await red.links.list()).length, 2, 'nothing was made')
})

t.test('kinds and their options', namespaces, async (t) => {
  const { red, link } = await ways(t)
  const make = (options: object) => () => createLink({ namespace: red, ...options } as Wrong)
  await refused(t, 'no kind', make({}), TYPE, 'options.kind must be a string, not undefined')
  await refused(t, 'an empty kind', make({ kind: '' }), VALUE, "options.kind '': is empty")
  await refused(t, 'veth', make({ kind: 'veth' }), VALUE, "options.kind 'veth': has two ends: use createVeth")
  const bridge: [string, Wrong, string, string][] = [
    ['stp', 1, TYPE, 'options.stp must be true or false, not 1'],
    ['priority', 65_536, RANGE, 'options.priority must be from 0 to 65535, not 65536'],
    ['priority', '1', TYPE, "options.priority must be an integer, not '1'"],
    ['ageingTime', 15, VALUE, 'options.ageingTime 15: must be a positive multiple of 10 milliseconds'],
    ['ageingTime', '300s', TYPE, "options.ageingTime must be a number of milliseconds, not '300s'"],
    ['ageingTime', -10, VALUE, 'options.ageingTime -10'],
    ['multicastRouter', 'maybe', VALUE, "options.multicastRouter 'maybe': expected one of disabled, query"],
    ['groupAddress', 'nowhere', VALUE, "options.groupAddress 'nowhere': is not a hardware address"],
    [
      'booleanOptions',
      { nolinkLocalLearn: true },
      VALUE,
      "options.booleanOptions 'nolinkLocalLearn': is not an option here; did you mean 'noLinkLocalLearn'?",
    ],
    ['booleanOptions', { noLinkLocalLearn: 1 }, TYPE, 'options.booleanOptions.noLinkLocalLearn must be true or false'],
    ['booleanOptions', 3, TYPE, 'options.booleanOptions must be an object'],
    ['prioritty', 5, VALUE, "options 'prioritty': is not an option here; did you mean 'priority'?"],
    ['data', 5, TYPE, "options.data must be an object of raw attributes, { '#1': bytes }, not 5"],
    ['data', { id: 5 }, VALUE, "options.data 'id': is not the key of a raw attribute"],
    ['data', { '#1': 5 }, TYPE, "options.data['#1'] must be a Uint8Array, not 5"],
    ['ports', 'eth0', TYPE, "options.ports must be an array, not 'eth0'"],
    ['ports', [''], VALUE, "options.ports[0] '': is empty"],
    ['ports', [{}], TYPE, 'options.ports[0] must be a Link'],
  ]
  for (const [option, value, code, message] of bridge) {
    await refused(t, option, () => createBridge({ namespace: red, [option]: value } as Wrong), code, message)
    if (option === 'ports') continue
    await refused(t, option, make({ kind: 'bridge', [option]: value }), code, message)
    const changes = message.replace('options', 'changes')
    await refused(t, option, () => link.set({ [option]: value } as Wrong), code, changes)
  }
  await refused(t, 'ports', make({ kind: 'bridge', ports: [] }), VALUE, "options 'ports': is not an option here")
  await refused(t, 'raw', make({ kind: 'ifb', data: [], mode: 1 }), VALUE, "options 'mode': is not an option here")
  t.equal((await red.links.list()).length, 2, 'nothing was made')
})

t.test('addresses', namespaces, async (t) => {
  const { red, link } = await ways(t)
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
  const { red, link } = await ways(t)
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
  await refused(t, 'filter', () => routes.list({ type: 5 as Wrong }), TYPE, 'filter.type')
  await refused(t, 'filter', () => routes.list({ metric: 5 } as Wrong), VALUE, "filter 'metric': is not an option here")
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
