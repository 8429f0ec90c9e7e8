/** More names for links, against iproute2. */
import t from 'tap'
import { createBridge, createVeth } from '../dist/index.js'
import { needs } from './support/needs.js'
import { eventsOf } from './support/netlink.js'
import { refused, TYPE, VALUE, type Wrong } from './support/refused.js'
import { ip, ipDo, scratch } from './support/scratch.js'

const long = 'the-uplink-of-the-second-rack-by-the-window'

t.test('add and remove', await needs('namespaces', 'ip'), async (t) => {
  const red = await scratch(t)
  const br0 = await createBridge({ name: 'br0', namespace: red })
  const br1 = await createBridge({ name: 'br1', namespace: red })
  t.equal(await br0.addAlternativeName(long), br0)
  await br0.addAlternativeName('short')
  t.same(br0.alternativeNames, [long, 'short'])
  t.match(await ip(red, 'link', 'show', 'br0'), [{ altnames: [long, 'short'] }])
  for (const name of [long, 'short']) t.equal((await red.links.get(name)).index, br0.index, `found by ${name}`)
  await red.addresses.add({ link: long, address: '10.0.0.1/24' })
  t.equal((await red.addresses.get('10.0.0.1')).index, br0.index)
  const taken = { code: 'EEXIST', syscall: 'RTM_NEWLINKPROP', message: /^cannot give br1 the alternative name / }
  await t.rejects(br1.addAlternativeName(long), taken)
  await t.rejects(br1.addAlternativeName('br0'), taken)
  const none = { code: 'ENOENT', syscall: 'RTM_DELLINKPROP' }
  await t.rejects(br1.removeAlternativeName(long), none, "another's")
  await t.rejects(br1.removeAlternativeName('br1'), none, 'its first')
  await t.rejects(br1.removeAlternativeName('nobody'), none)
  await br0.removeAlternativeName(long)
  t.same(br0.alternativeNames, ['short'])
  await ipDo(red, 'link', 'property', 'add', 'dev', 'br0', 'altname', long)
  t.same((await br0.refresh()).alternativeNames, ['short', long])
  await br0.delete()
  await t.rejects(br0.addAlternativeName('late'), { code: 'ENODEV' })
})

t.test('of new links', await needs('namespaces', 'ip'), async (t) => {
  const red = await scratch(t)
  const br0 = await createBridge({ name: 'br0', namespace: red, alternativeNames: [long, 'b'] })
  t.same(br0.alternativeNames, [long, 'b'])
  const [left, right] = await createVeth(
    { name: 'left', namespace: red, alternativeNames: ['on-the-left-hand-side'] },
    { name: 'right', namespace: red, alternativeNames: ['on-the-right-hand-side'] },
  )
  t.same([left.alternativeNames, right.alternativeNames], [['on-the-left-hand-side'], ['on-the-right-hand-side']])
  t.match(await ip(red, 'link', 'show', 'right'), [{ altnames: ['on-the-right-hand-side'] }])
  await t.rejects(createBridge({ name: 'br1', namespace: red, alternativeNames: [long] }), { code: 'EEXIST' })
  t.equal(await red.links.find('br1'), undefined, 'taken back')
})

t.test('ensure and replace', await needs('namespaces'), async (t) => {
  const red = await scratch(t)
  const wish = { kind: 'bridge', name: 'br0', alternativeNames: [long, 'b'] } as const
  t.same((await red.links.ensure(wish)).link.alternativeNames, [long, 'b'])
  const events = await eventsOf(t, red)
  t.same((await red.links.ensure(wish)).changes, [])
  t.same(await events(), [])
  const more = await red.links.ensure({ ...wish, alternativeNames: ['b', 'c'] })
  t.same(more.changes, ['alternativeNames'])
  t.same(more.link.alternativeNames, [long, 'b', 'c'], 'those that are not asked for stay')
  const old = await red.links.get('br0')
  const replaced = await red.links.replace(wish)
  t.not(replaced.index, old.index)
  t.same(replaced.alternativeNames, [long, 'b'])
  await red.links.add({ kind: 'bridge', name: 'br1', alternativeNames: ['mine'] })
  const clash = red.links.replace({ ...wish, alternativeNames: ['mine'] })
  await t.rejects(clash, { code: 'EEXIST', message: /^cannot replace br0: br1 has the name mine/ })
  t.equal((await red.links.get('br0')).index, replaced.index, 'nothing was lost')
})

t.test('wrong input', await needs('namespaces'), async (t) => {
  const red = await scratch(t)
  const br0 = await createBridge({ name: 'br0', namespace: red })
  await refused(t, 'no name', () => br0.addAlternativeName(7 as Wrong), TYPE, 'name must be a string')
  await refused(t, 'too long', () => br0.addAlternativeName('x'.repeat(128)), VALUE, "name 'xxx")
  await refused(t, 'a slash', () => br0.removeAlternativeName('a/b'), VALUE, "name 'a/b': may not contain")
  const add = (alternativeNames: Wrong) => red.links.add({ kind: 'bridge', alternativeNames })
  await refused(t, 'no array', () => add('b'), TYPE, 'options.alternativeNames must be an array')
  await refused(t, 'one', () => add(['b', '']), VALUE, "options.alternativeNames[1] '': is empty")
})
