// The work of bench/netlink.mjs by netkit, in the namespace it is started in; the words are those of bench/c/netlink.c. Prints
// milliseconds. What is measured was done once before, on a smaller scale, so that the code is compiled.
import { setTimeout as sleep } from 'node:timers/promises'
import { createNamespace, createVeth, currentNamespace } from '../../dist/index.js'
import { delays } from './delays.mjs'
import { ends, host } from './names.mjs'

const [work, count] = [process.argv[2], Number(process.argv[3])]
const here = currentNamespace()
const GATEWAY = '192.168.77.2'

const pairs = (namespace, first, last) =>
  Promise.all(Array.from({ length: last - first }, (_, i) => createVeth(...ends(first + i, namespace))))

async function addRoutes(namespace, number) {
  const { index } = await namespace.links.get('v0')
  const routes = function* () {
    for (let i = 0; i < number; i++) yield { to: host(i), via: GATEWAY, link: index }
  }
  return timed(() => namespace.routes.addMany(routes()))
}

async function timed(action) {
  const start = performance.now()
  await action()
  return performance.now() - start
}

function median(values) {
  return values.sort((a, b) => a - b)[values.length >> 1]
}

async function inScratch(action) {
  const namespace = await createNamespace()
  try {
    return await action(namespace)
  } finally {
    await namespace.delete()
  }
}

/** Something of every field of every row. */
function fieldsOf(routes) {
  let sum = 0
  for (const { family, to, via, index, table, type, scope, protocol, flags, metric, source, mtu } of routes) {
    sum += family.length + to.length + (via?.length ?? 0) + (index ?? 0) + flags.length + (metric ?? 0)
    sum += (source?.length ?? 0) + (mtu ?? 0)
    for (const word of [table, type, scope, protocol]) sum += typeof word === 'string' ? word.length : word
  }
  return sum
}

async function dumpRoutes() {
  return timed(async () => fieldsOf(await here.routes.list({ family: 'inet' })))
}

async function dumpLinks() {
  return timed(async () => {
    let sum = 0
    for (const { stats } of await here.links.list()) for (const counter in stats) sum += stats[counter]
    return sum
  })
}

/** From the request that changes v0's MTU to the event, by `watch`. */
async function event(number) {
  const link = await here.links.get('v0')
  const watch = here.watch({ links: true })
  await watch.ready
  let told = () => {}
  const watching = (async () => {
    for await (const seen of watch) if (seen.object === 'link' && seen.link.index === link.index) told()
  })()
  const times = []
  for (let i = 0; i < number; i++) {
    const start = performance.now()
    const seen = new Promise((resolve) => {
      told = () => resolve(performance.now() - start)
    })
    const changed = link.set({ mtu: 1000 + i })
    times.push(await seen)
    await changed
    await sleep(1)
  }
  await watch.close()
  await watching
  return median(times)
}

async function one(number) {
  const times = []
  for (let i = 0; i < number; i++) times.push(await timed(() => here.links.get(1)))
  return median(times)
}

/** How late timers are while pairs are made, and then deleted one by one: so many at a time. */
async function loop(atOnce) {
  const inTurns = async (action) => {
    for (let i = 0; i < count; i += atOnce) {
      await Promise.all(Array.from({ length: Math.min(atOnce, count - i) }, (_, j) => action(i + j)))
    }
  }
  await inScratch((namespace) => pairs(namespace, 0, 100))
  return inScratch(async (namespace) => {
    const made = []
    const creating = await delays(() =>
      inTurns(async (i) => {
        made[i] = await createVeth(...ends(i, namespace))
      }),
    )
    const deleting = await delays(() => inTurns((i) => made[i][0].delete()))
    return JSON.stringify({ creating, deleting })
  })
}

const works = {
  async veth() {
    await inScratch((namespace) => pairs(namespace, 0, 100))
    return timed(() => pairs(here, 0, count))
  },
  async 'veth-in-turn'() {
    await inScratch((namespace) => pairs(namespace, 0, 100))
    return timed(async () => {
      for (let i = 0; i < count; i++) await createVeth(...ends(i, here))
    })
  },
  async 'add-routes'() {
    await inScratch(async (namespace) => {
      const [left] = await createVeth({ name: 'v0', namespace, addresses: ['192.168.77.1/24'] }, { namespace })
      await left.set({ up: true })
      await addRoutes(namespace, 5000)
    })
    return addRoutes(here, count)
  },
  async 'dump-routes'() {
    for (let i = 0; i < 3; i++) await dumpRoutes()
    return dumpRoutes()
  },
  async 'dump-links'() {
    for (let i = 0; i < 3; i++) await dumpLinks()
    return dumpLinks()
  },
  async event() {
    await event(50)
    return event(count)
  },
  async one() {
    await one(500)
    return one(count)
  },
  loop: () => loop(50),
  'loop-at-once': () => loop(count),
}

console.log(await works[work]())
