// A process of Node that does nothing but tell its memory: what the memory of the others is compared with.
import { memory } from './memory.mjs'

process.on('message', () => process.send(memory()))
process.on('disconnect', () => process.exit())
process.send({})
