/** Tracing: channels of node:diagnostics_channel, and NETKIT_DEBUG=netlink. */
import { channel } from 'node:diagnostics_channel'
import t, { type Test } from 'tap'
import { createBridge, type TracedEnd, type TracedReply, type TracedRequest } from '../dist/index.js'
import { needs } from './support/needs.js'
import { runProgram } from './support/program.js'
import { scratch } from './support/scratch.js'

const able = await needs('namespaces')

interface Seen {
  requests: TracedRequest[]
  replies: TracedReply[]
  ends: TracedEnd[]
}

function listen(t: Test): Seen {
  const seen: Seen = { requests: [], replies: [], ends: [] }
  const on = (name: string, list: unknown[]) => {
    const hear = (message: unknown) => void list.push(message)
    channel(name).subscribe(hear)
    t.teardown(() => channel(name).unsubscribe(hear))
  }
  on('netkit:netlink:request', seen.requests)
  on('netkit:netlink:reply', seen.replies)
  on('netkit:netlink:end', seen.ends)
  return seen
}

t.test('requests, replies and ends', able, async (t) => {
  const red = await scratch(t)
  const seen = listen(t)
  await createBridge({ name: 'br0', namespace: red, ageingTime: 60_000 })
  await t.rejects(createBridge({ name: 'br0', namespace: red }), { code: 'EEXIST' })
  const [make, read] = seen.requests
  t.match(make, { name: 'RTM_NEWLINK', what: 'cannot create the bridge br0' })
  t.match(make?.words, {
    name: 'RTM_NEWLINK',
    flags: ['create', 'exclusive'],
    attributes: { IFLA_IFNAME: 'br0', IFLA_LINKINFO: { IFLA_INFO_DATA: { IFLA_BR_AGEING_TIME: 60_000 } } },
  })
  t.equal(read?.name, 'RTM_GETLINK')
  const answer = seen.replies.find(({ request }) => request === read)
  t.match(answer?.words, { name: 'RTM_NEWLINK', attributes: { IFLA_IFNAME: 'br0', IFLA_MTU: 1500 } })
  t.notMatch(JSON.stringify(answer?.words), /malformed/, 'all of it')
  t.equal(seen.ends.length, seen.requests.length, 'each has an end')
  t.match(
    seen.ends.map(({ request, error }) => [request.name, (error as { code?: string } | undefined)?.code]),
    [
      ['RTM_NEWLINK', undefined],
      ['RTM_GETLINK', undefined],
      ['RTM_NEWLINK', 'EEXIST'],
    ],
  )
  t.ok(seen.ends.every(({ duration }) => duration >= 0))
})

t.test('lists, streams and many at once', able, async (t) => {
  const red = await scratch(t)
  const seen = listen(t)
  await red.links.list()
  t.match(seen.requests[0]?.words, { name: 'RTM_GETLINK', flags: ['dump'] })
  t.equal(seen.ends[0]?.replies, 1, 'the loopback')
  for await (const _ of red.routes.stream({ table: 'all' })) break
  t.equal(seen.ends.at(-1)?.request.name, 'RTM_GETROUTE')
  await red.routes.flush({ table: 'all' })
  t.equal(seen.ends.length, seen.requests.length)
})

t.test('nothing is made when nobody listens', able, async (t) => {
  const red = await scratch(t)
  const seen = listen(t)
  await red.links.list()
  const { id } = seen.requests[0] as TracedRequest
  for (const name of ['request', 'reply', 'end']) t.ok(channel(`netkit:netlink:${name}`).hasSubscribers)
  t.test('one who listens again', async (t) => {
    await red.links.list()
    const again = listen(t)
    await red.links.list()
    t.equal(again.requests[0]?.id, id + 2)
  })
})

t.test('NETKIT_DEBUG=netlink prints', able, async (t) => {
  const program = `
    import { createBridge, createNamespace } from './dist/index.js'
    const box = await createNamespace()
    await createBridge({ name: 'br0', namespace: box })
    await createBridge({ name: 'br0', namespace: box }).catch(() => {})
    await box.close()`
  const { stderr, exitCode } = await runProgram(program, { env: { ...process.env, NETKIT_DEBUG: 'other,netlink' } })
  t.equal(exitCode, 0, stderr)
  const lines = stderr.trim().split('\n')
  const has = (pattern: RegExp, what: string) =>
    t.ok(
      lines.some((line) => pattern.test(line)),
      what,
      { lines },
    )
  has(
    /^netkit 2 > RTM_NEWLINK create exclusive: IFLA_IFNAME 'br0', IFLA_LINKINFO \{ IFLA_INFO_KIND 'bridge' \}$/,
    'a request',
  )
  has(/^netkit 3 < RTM_NEWLINK: .*IFLA_IFNAME 'br0'/, 'an answer')
  has(/^netkit 3 = done \(\d+\.\d\d ms, 1 reply\)$/, 'an end')
  has(/^netkit 4 = cannot create the bridge br0: .*EEXIST.* \(\d+\.\d\d ms\)$/, 'a refusal')
  const quiet = await runProgram(program, { env: { ...process.env, NETKIT_DEBUG: '' } })
  t.equal(quiet.stderr, '')
  const unknown = await runProgram(program, { env: { ...process.env, NETKIT_DEBUG: '1' } })
  t.match(unknown.stderr, /^\(node:\d+\) Warning: NETKIT_DEBUG '1': netkit knows 'netlink' alone\n/)
  t.notMatch(unknown.stderr, /RTM_/)
})
