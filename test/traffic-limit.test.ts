/** link.limit: what it sets, what it lets pass, and that it is undone whole. */
import t from 'tap'
import { createVeth, type Link, type Namespace } from '../dist/index.js'
import { needs } from './support/needs.js'
import { RANGE, refused, TYPE, VALUE, type Wrong } from './support/refused.js'
import { scratch } from './support/scratch.js'

const shaping = await needs('namespaces', 'qdisc:tbf', 'qdisc:clsact', 'filter:u32', 'action:mirred', 'kind:ifb')
const policing = await needs('namespaces', 'qdisc:tbf', 'qdisc:clsact', 'filter:u32', 'action:police')

/** `left` with 10.0.0.1 in one namespace, `right` with 10.0.0.2 in another. */
async function two(
  t: Parameters<typeof scratch>[0],
): Promise<{ red: Namespace; blue: Namespace; left: Link; right: Link }> {
  const [red, blue] = [await scratch(t), await scratch(t)]
  const [left, right] = await createVeth(
    { name: 'left', namespace: red, up: true, addresses: ['10.0.0.1/24'], addressGeneration: 'none' },
    { name: 'right', namespace: blue, up: true, addresses: ['10.0.0.2/24'], addressGeneration: 'none' },
  )
  await left.waitFor({ running: true })
  return { red, blue, left, right }
}

/** Sends as fast as it goes for some milliseconds, and tells the bits per second that arrived. */
async function measured(from: Namespace, to: Namespace, host: string, milliseconds: number): Promise<number> {
  const server = await to.listen({ port: 5001 })
  try {
    const counted = new Promise<number>((resolve, reject) => {
      server.once('connection', (incoming) => {
        let bytes = 0
        // The first bytes are the burst's.
        const begin = performance.now()
        incoming.on('data', (data) => {
          bytes += data.length
          const time = performance.now() - begin
          if (time < milliseconds) return
          resolve((bytes * 8000) / time)
          incoming.destroy()
        })
        incoming.on('error', reject)
      })
    })
    const socket = await from.connect({ host, port: 5001 })
    const piece = Buffer.alloc(16_384)
    const fill = () => {
      while (socket.writable && socket.write(piece)) {
        // As much as the socket takes.
      }
    }
    socket.on('drain', fill)
    socket.on('error', () => {})
    fill()
    const rate = await counted
    socket.destroy()
    return rate
  } finally {
    server.close()
  }
}

async function state(link: Link): Promise<unknown> {
  const qdiscs = (await link.qdiscs.list()).map(({ kind, parent }) => `${kind} ${parent}`)
  const links = (await link.namespace.links.list()).map(({ name }) => name)
  return { qdiscs, links, filters: await link.filters.list() }
}

const mbit = (rate: number) => `${(rate / 1e6).toFixed(1)} Mbit/s`

t.test('egress', shaping, async (t) => {
  const { red, blue, left } = await two(t)
  const before = await state(left)
  t.same(await left.limits(), {})
  t.same(await left.limit({ egress: '8mbit' }), { changed: true })
  t.match(await left.limits(), { egress: { rate: 8_000_000, burst: 32_768, latency: 50 } })
  t.same(await left.limit({ egress: 8_000_000 }), { changed: false }, 'the same again')
  const rate = await measured(red, blue, '10.0.0.2', 800)
  t.ok(rate > 2e6 && rate < 14e6, `${mbit(rate)} of 8 arrived`)
  t.same(await left.limit({ egress: '800mbit', burst: 500_000, latency: 20 }), { changed: true })
  t.match(await left.limits(), { egress: { rate: 800_000_000, burst: 500_000, latency: 20 } })
  const more = await measured(red, blue, '10.0.0.2', 300)
  t.ok(more > 20e6, `${mbit(more)} of 800 arrived`)
  t.same(await left.limit({ egress: null }), { changed: true })
  t.same(await left.limit({ egress: null, ingress: null }), { changed: false })
  t.same(await state(left), before)
})

t.test('ingress, queued', shaping, async (t) => {
  const { red, blue, left } = await two(t)
  const before = await state(left)
  t.same(await left.limit({ ingress: '8mbit', ingressBy: 'queue' }), { changed: true })
  t.match(await left.limits(), { ingress: { rate: 8_000_000, burst: 32_768, by: 'queue' } })
  t.same(await left.limit({ ingress: '8mbit' }), { changed: false })
  const rate = await measured(blue, red, '10.0.0.1', 800)
  t.ok(rate > 2e6 && rate < 14e6, `${mbit(rate)} of 8 arrived`)
  t.same(await left.limit({ ingress: '16mbit', egress: '4mbit' }), { changed: true })
  t.match(await left.limits(), { ingress: { rate: 16_000_000, by: 'queue' }, egress: { rate: 4_000_000 } })
  t.same(await left.limit({ ingress: null }), { changed: true })
  t.match(await left.limits(), { egress: { rate: 4_000_000 }, ingress: undefined })
  t.same(await left.limit({ egress: null }), { changed: true })
  t.same(await state(left), before, 'undone whole')
})

t.test('ingress, policed', policing, async (t) => {
  const { red, blue, left } = await two(t)
  const before = await state(left)
  t.same(await left.limit({ ingress: '8mbit' }), { changed: true })
  t.match(await left.limits(), { ingress: { rate: 8_000_000, burst: 131_072, by: 'police' } })
  t.same(await left.limit({ ingress: '8mbit' }), { changed: false })
  const rate = await measured(blue, red, '10.0.0.1', 1200)
  t.ok(rate > 0.5e6 && rate < 14e6, `${mbit(rate)} of 8 arrived`)
  t.same(await left.limit({ ingress: '16mbit' }), { changed: true })
  t.match(await left.limits(), { ingress: { rate: 16_000_000, by: 'police' } })
  t.same(await left.limit({ ingress: '16mbit', ingressBy: 'queue' }), { changed: true }, 'the other way')
  t.match(await left.limits(), { ingress: { rate: 16_000_000, by: 'queue' } })
  t.same(await left.limit({ ingress: null }), { changed: true })
  t.same(await state(left), before, 'undone whole')
})

t.test('where there is no police action, packets wait', shaping, async (t) => {
  const { left } = await two(t)
  await left.limit({ ingress: '8mbit' })
  t.match(await left.limits(), { ingress: { by: policing.skip === false ? 'police' : 'queue' } })
  if (policing.skip === false) return
  await t.rejects(left.limit({ ingress: '8mbit', ingressBy: 'police' }), {
    code: 'ENOENT',
    message: /CONFIG_NET_ACT_POLICE/,
  })
})

t.test("what is somebody else's stays", shaping, async (t) => {
  const { left, right } = await two(t)
  await left.qdiscs.add({ kind: 'pfifo', limit: 100, handle: '7:' })
  await t.rejects(left.limit({ egress: '8mbit' }), {
    code: 'EEXIST',
    message: /^cannot limit left: it has the qdisc pfifo 7: at its root/,
  })
  t.same(await left.limit({ egress: null }), { changed: false })
  await left.qdiscs.add({ kind: 'clsact' })
  const mirror = {
    kind: 'u32',
    parent: 'ingress',
    actions: [{ kind: 'mirred', action: 'mirror', link: left }],
  } as const
  await left.filters.add({ ...mirror, preference: 1 })
  const before = await state(left)
  await t.rejects(left.limit({ ingress: '8mbit' }), {
    code: 'EEXIST',
    message: /u32 filter of preference 1 at ingress/,
  })
  await left.limit({ ingress: null })
  t.same(await state(left), before)
  await right.qdiscs.add({ kind: 'clsact' })
  const own = await state(right)
  await right.limit({ ingress: '8mbit', ingressBy: 'queue' })
  await right.limit({ ingress: null })
  t.same(await state(right), own, 'a clsact that was there')
  await right.filters.add({ ...mirror, actions: [{ kind: 'mirred', action: 'mirror', link: right }], preference: 1 })
  await t.rejects(right.limit({ egress: '8mbit', ingress: '8mbit' }), { code: 'EEXIST' })
  t.same(await right.limits(), {}, 'neither when one fails')
})

t.test('wrong limits', await needs('namespaces'), async (t) => {
  const { left } = await two(t)
  const wrong: [unknown, string, RegExp | string][] = [
    [undefined, TYPE, 'limits must be an object'],
    [{ egress: '8' }, VALUE, "limits.egress '8'"],
    [{ egress: 0 }, RANGE, 'limits.egress must be from 8'],
    [{ ingress: true }, TYPE, 'limits.ingress must be a number'],
    [{ ingress: '8mbit', ingressBy: 'ifb' }, VALUE, "limits.ingressBy 'ifb': expected one of police, queue"],
    [{ egress: '8mbit', burst: 0 }, RANGE, 'limits.burst'],
    [{ egress: '8mbit', latency: -1 }, RANGE, 'limits.latency'],
    [{ egres: '8mbit' }, VALUE, "limits 'egres': is not an option here; did you mean 'egress'?"],
  ]
  for (const [limits, code, message] of wrong) {
    await refused(t, JSON.stringify(limits) ?? 'nothing', () => left.limit(limits as Wrong), code, message)
  }
})

t.test('the queue goes with the link', shaping, async (t) => {
  const red = await scratch(t)
  const queues = async () => (await red.links.list({ kind: 'ifb' })).map(({ name }) => name)
  const limited = async (index: number) => {
    const [link] = await createVeth({ namespace: red, index }, { namespace: red })
    await link.limit({ ingress: '8mbit', ingressBy: 'queue' })
    t.same(await queues(), [`nk-limit-${index}`])
    return link
  }
  await (await limited(100)).delete()
  t.same(await queues(), [], 'deleted')
  await red.links.removeMany([await limited(100)])
  t.same(await queues(), [], 'removed with others')
  const blue = await scratch(t)
  const moved = await limited(100)
  await moved.set({ namespace: blue })
  t.same(await queues(), [], 'moved')
  t.same(await moved.limits(), {})
  t.same(await moved.limit({ ingress: '8mbit', ingressBy: 'queue' }), { changed: true })
})

t.test("what nobody removed is in nobody's way", shaping, async (t) => {
  const red = await scratch(t)
  const queues = async () => (await red.links.list({ kind: 'ifb' })).map(({ name }) => name)
  const make = async (index: number) => {
    const [link, peer] = await createVeth({ namespace: red, index }, { namespace: red })
    await link.limit({ ingress: '8mbit', ingressBy: 'queue' })
    return { link, peer }
  }
  const first = await make(100)
  const other = await make(102)
  await red.links.add({ kind: 'ifb', name: 'nk-limit-mine' })
  await first.peer.delete()
  t.same((await queues()).sort(), ['nk-limit-100', 'nk-limit-102', 'nk-limit-mine'], 'netkit does not know of it')
  const again = await make(100)
  t.match(await again.link.limits(), { ingress: { rate: 8_000_000, by: 'queue' } }, 'taken over')
  await again.peer.delete()
  t.same(await other.link.limit({ ingress: null }), { changed: true })
  const [last] = await createVeth({ namespace: red, index: 104 }, { namespace: red })
  await last.limit({ ingress: '8mbit', ingressBy: 'queue' })
  t.same((await queues()).sort(), ['nk-limit-104', 'nk-limit-mine'], 'swept')
  const [large, largePeer] = await createVeth({ namespace: red, index: 0x7fff_fff0 }, { namespace: red })
  await large.limit({ ingress: '8mbit', ingressBy: 'queue' })
  t.ok((await queues()).includes('nk-lim-7ffffff0'), 'whatever the index')
  await largePeer.delete()
  await last.limit({ ingress: null })
  t.same(await queues(), ['nk-limit-mine'])
})
