/** The notation of captured messages. */
import { sourceOf } from '../../dist/netlink/bytes.js'
import { forEachMessage, type Message } from '../../dist/netlink/message.js'

/**
 * The bytes of an annotated capture: hexadecimal digits, spaced as one likes; `00000000*30` is a word thirty times; what follows
 * a '#' is a comment.
 */
export function capture(text: string): Uint8Array {
  const words = text
    .split('\n')
    .flatMap((line) => line.replace(/#.*/, '').split(/\s+/))
    .filter((word) => word !== '')
  return Buffer.concat(words.map(bytesOf))
}

function bytesOf(word: string): Buffer {
  const [, digits = '', times = '1'] = /^((?:[0-9a-f]{2})+)(?:\*(\d+))?$/.exec(word) ?? []
  if (digits === '') throw new Error(`'${word}' is not part of a capture`)
  return Buffer.from(digits.repeat(Number(times)), 'hex')
}

/** The only message of some bytes. */
export function messageOf(bytes: Uint8Array): Message {
  const found: Message[] = []
  forEachMessage(sourceOf(bytes), bytes.length, (message) => found.push(message))
  const [message] = found
  if (message === undefined || found.length > 1) throw new Error(`${found.length} messages where one was expected`)
  return message
}
