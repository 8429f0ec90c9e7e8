/** Archives in the format that the kernel unpacks as its first file system: cpio "newc" (buffer-format.rst of the kernel). */

const types = { file: 0o100000, folder: 0o040000, device: 0o020000 }
/** Headers and contents begin at multiples of this. */
const alignment = 4

const padded = (buffer) => Buffer.concat([buffer, Buffer.alloc(-buffer.length & (alignment - 1))])

function header(fields) {
  return Buffer.from(`070701${fields.map((field) => field.toString(16).toUpperCase().padStart(8, '0')).join('')}`)
}

/**
 * The archive of `entries`: `{ name, content, mode }` for a file (a string or a Buffer, 0o644), `{ name }` for a folder,
 * `{ name, device: [major, minor], mode }` for a character device. A folder stands before what is in it.
 */
export function cpio(entries) {
  const parts = []
  const add = (inode, { name, content, device, mode }, type) => {
    const body = Buffer.from(content ?? '')
    const [major, minor] = device ?? [0, 0]
    const ended = Buffer.from(`${name}\0`)
    const fields = [inode, types[type] | mode, 0, 0, 1, 0, body.length, 0, 0, major, minor, ended.length, 0]
    parts.push(padded(Buffer.concat([header(fields), ended])), padded(body))
  }
  entries.forEach((entry, i) => {
    const type = entry.device ? 'device' : entry.content === undefined ? 'folder' : 'file'
    add(i + 1, { ...entry, mode: entry.mode ?? (type === 'folder' ? 0o755 : 0o644) }, type)
  })
  add(0, { name: 'TRAILER!!!', mode: 0 }, 'file')
  return Buffer.concat(parts)
}
