/** Wrong options of links: the documented error, with the option's name as the caller wrote it, and nothing is sent. */
import t from 'tap'
import { createBridge, createLink, createVeth, type Link, type Namespace } from '../dist/index.js'
import { needs } from './support/needs.js'
import { RANGE, refused, TYPE, VALUE, type Wrong, wrongAddresses } from './support/refused.js'
import { scratch } from './support/scratch.js'

/** What a name of a new link may not be: [value, code, the message after `path.name`]. */
const wrongNames: [value: Wrong, code: string, message: string][] = [
  ['', VALUE, " '': is empty"],
  ['sixteen-bytes-00', VALUE, " 'sixteen-bytes-00': has 16 bytes, and a link's name may have 15"],
  ['äääääääää', VALUE, " 'äääääääää': has 18 bytes, and a link's name may have 15"],
  ['a/b', VALUE, ` 'a/b': may not contain "/"`],
  ['a b', VALUE, ` 'a b': may not contain " "`],
  ['a\n', VALUE, ` 'a\\n': may not contain "\\n"`],
  ['a:1', VALUE, ` 'a:1': may not contain ":"`],
  ['a\0b', VALUE, ` 'a\\x00b': may not contain "\\u0000"`],
  ['.', VALUE, " '.': is not a name that a link may have"],
  ['..', VALUE, " '..': is not a name that a link may have"],
  ['%', VALUE, " '%': may contain '%' only as one '%d', in whose place the kernel puts a number"],
  ['a%s', VALUE, " 'a%s': may contain '%' only as one '%d', in whose place the kernel puts a number"],
  ['%d%d', VALUE, " '%d%d': may contain '%' only as one '%d', in whose place the kernel puts a number"],
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
      await refused(t, `${path}.name`, () => call({ name }), code, `${path}.name${message}`)
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
  await refused(t, 'set', () => link.set({ index: 5 }), VALUE, 'changes.index 5: is for a link that moves')
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
  await refused(t, 'parent', make({ kind: 'macvlan', parent: {} }), TYPE, 'options.parent must be a Link')
  await refused(t, 'parent', make({ kind: 'macvlan', parent: '' }), VALUE, "options.parent '': is empty")
  await refused(t, 'an empty kind', make({ kind: '' }), VALUE, "options.kind '': is empty")
  await refused(t, 'veth', make({ kind: 'veth' }), VALUE, "options.kind 'veth': has two ends: use createVeth")
  const bridge: [string, Wrong, string, string][] = [
    ['stp', 1, TYPE, 'options.stp must be true or false, not 1'],
    ['priority', 65_536, RANGE, 'options.priority must be from 0 to 65535, not 65536'],
    ['priority', '1', TYPE, "options.priority must be an integer, not '1'"],
    ['ageingTime', 15, VALUE, 'options.ageingTime 15: must be a multiple of 10 milliseconds'],
    ['ageingTime', '300s', TYPE, "options.ageingTime must be a number of milliseconds, not '300s'"],
    ['ageingTime', -10, RANGE, 'options.ageingTime must be from 0 to 42949672950, not -10'],
    ['ageingTime', 42_949_672_960, RANGE, 'options.ageingTime must be from 0 to 42949672950, not 42949672960'],
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
  await refused(
    t,
    'raw',
    make({ kind: 'bareudp', data: [], mode: 1 }),
    VALUE,
    "options 'mode': is not an option of every link",
  )
  t.equal((await red.links.list()).length, 2, 'nothing was made')
})
