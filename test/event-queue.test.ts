/** Events that wait: as they came, and put together when there are too many. */
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import fc from 'fast-check'
import t from 'tap'
import type { NetworkEvent, ObjectEvent } from '../dist/index.js'
import { EventQueue } from '../dist/rtnetlink/watch/event-queue.js'
import { changeOf, eventOf } from '../dist/rtnetlink/watch/events.js'

interface Row {
  id: string
  value: number
}

const identify = (event: ObjectEvent, which: 'row' | 'previous') => {
  const change = changeOf(event)
  return ((which === 'previous' && change.type === 'changed' ? change.previous : change.row) as Row).id
}

const added = (id: string, value: number) => eventOf('address', { type: 'added', row: { id, value } })
const removed = (id: string, value: number) => eventOf('address', { type: 'removed', row: { id, value } })
const changed = (id: string, value: number, previous: number) =>
  eventOf('address', { type: 'changed', row: { id, value }, previous: { id, value: previous } })

function drain(queue: EventQueue): NetworkEvent[] {
  const events: NetworkEvent[] = []
  for (let event = queue.shift(); event !== undefined; event = queue.shift()) events.push(event)
  return events
}

t.test('up to the limit they come as they went', (t) => {
  const queue = new EventQueue(3, identify)
  const events = [added('a', 1), changed('a', 2, 1), removed('a', 2)]
  for (const event of events) queue.push(event)
  t.equal(queue.length, 3)
  t.same(drain(queue), events)
  t.equal(queue.length, 0)
  t.end()
})

t.test('beyond it only the difference comes', (t) => {
  const queue = new EventQueue(3, identify)
  queue.push(changed('known', 2, 1))
  queue.push(added('came and went', 1))
  queue.push(removed('came and went', 1))
  queue.push(changed('known', 3, 2))
  queue.push(removed('gone', 7))
  queue.push(added('back', 1))
  queue.push(added('gone', 8))
  queue.push(changed('back', 2, 1))
  t.same(drain(queue), [{ type: 'resync' }, changed('known', 3, 1), changed('gone', 8, 7), added('back', 2)])
  queue.push(added('later', 1))
  t.same(drain(queue), [added('later', 1)], 'and then they come as they go again')
  t.end()
})

t.test('who applies every event is never wrong, and no more waits than there are objects', (t) => {
  const steps = fc.array(
    fc.oneof(
      fc.record({ id: fc.constantFrom('a', 'b', 'c', 'd'), to: fc.option(fc.nat(3)) }),
      fc.constant('take' as const),
    ),
    { maxLength: 60 },
  )
  fc.assert(
    fc.property(steps, fc.integer({ min: 1, max: 5 }), (list, limit) => {
      const truth = new Map<string, number>()
      const known = new Map<string, number>()
      const queue = new EventQueue(limit, identify)
      const apply = (event: NetworkEvent | undefined) => {
        if (event === undefined || event.type === 'resync') return
        const { id, value } = changeOf(event).row as Row
        if (event.type === 'added' && known.has(id)) throw new Error(`${id} was added twice`)
        if (event.type !== 'added' && !known.has(id)) throw new Error(`${id} is not known, and ${event.type}`)
        if (event.type === 'removed') known.delete(id)
        else known.set(id, value)
      }
      for (const step of list) {
        if (step === 'take') {
          apply(queue.shift())
          continue
        }
        const { id, to } = step
        const was = truth.get(id)
        if (to === null && was !== undefined) queue.push(removed(id, was))
        else if (to !== null) queue.push(was === undefined ? added(id, to) : changed(id, to, was))
        if (to === null) truth.delete(id)
        else truth.set(id, to)
        if (queue.length > limit + 5) throw new Error(`${queue.length} wait`)
      }
      for (const event of drain(queue)) apply(event)
      return [...truth].every(([id, value]) => known.get(id) === value) && known.size === truth.size
    }),
  )
  t.end()
})

t.test('a consumer who is always a little behind keeps nothing that was taken', async (t) => {
  setFlagsFromString('--expose-gc')
  const collect: () => void = runInNewContext('gc')
  const queue = new EventQueue(10, identify)
  queue.push(added('first', 0))
  const taken: WeakRef<object>[] = []
  for (let i = 0; i < 10_000; i++) {
    queue.push(added(String(i), i))
    const event = queue.shift()
    if (event !== undefined && i < 5000) taken.push(new WeakRef(event))
  }
  await new Promise(setImmediate)
  collect()
  t.equal(queue.length, 1)
  t.ok(taken.filter((reference) => reference.deref() !== undefined).length < 100)
})

t.test('many that were put together are taken in a time that grows with their number', (t) => {
  const queue = new EventQueue(10, identify)
  for (let i = 0; i < 200_000; i++) queue.push(added(String(i), i))
  const start = performance.now()
  t.equal(drain(queue).length, 200_001)
  t.ok(performance.now() - start < 2000, `${performance.now() - start} ms`)
  t.end()
})
