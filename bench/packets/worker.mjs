// A worker thread that does nothing but wait for frames: first at one tap, then at the other, as questions and answers come.
import { parentPort, workerData } from 'node:worker_threads'
import { openNamespace, openTap } from '../../dist/index.js'

const WAIT = 50

const [near, far] = await Promise.all([workerData.near, workerData.far].map((path) => openNamespace({ path })))
const left = await openTap({ namespace: near, name: 'left' })
const right = await openTap({ namespace: far, name: 'right' })
parentPort.postMessage('ready')

for (;;) {
  for (const [from, to] of [
    [left, right],
    [right, left],
  ]) {
    const batch = from.pollBatch(WAIT)
    if (batch !== undefined) to.writeBatch(batch)
  }
}
