/** Capture files for tests: made by hand in either byte order, and looked at by tshark. */
import { execFile, spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Test } from 'tap'

/** A folder that goes with the test. */
export function scratchFolder(t: Test): string {
  const folder = mkdtempSync(join(tmpdir(), 'netkit-capture-'))
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  return folder
}

/** The fields of each packet, as tshark reads them. */
export function tshark(file: string, ...fields: string[]): Promise<string[][]> {
  const args = ['-n', '-r', file, '-T', 'fields', '-E', 'separator=|', ...fields.flatMap((field) => ['-e', field])]
  return new Promise((resolve, reject) => {
    execFile('tshark', args, { maxBuffer: 64 * 1024 * 1024, timeout: 60_000 }, (error, stdout, stderr) => {
      if (error) reject(new Error(`tshark: ${error.message} ${stderr}`))
      else
        resolve(
          stdout === ''
            ? []
            : stdout
                .trimEnd()
                .split('\n')
                .map((line) => line.split('|')),
        )
    })
  })
}

/** What capinfos says about a file: all its lines. */
export function capinfos(file: string): string {
  const { stdout, stderr, status } = spawnSync('capinfos', [file], { encoding: 'utf8', timeout: 60_000 })
  if (status !== 0) throw new Error(`capinfos: ${stderr}`)
  return stdout
}

/** Runs editcap. */
export function editcap(...args: string[]): void {
  const { stderr, status } = spawnSync('editcap', args, { encoding: 'utf8', timeout: 60_000 })
  if (status !== 0) throw new Error(`editcap: ${stderr}`)
}

/** What has the numbers of a file in one byte order. */
export class HandMade {
  readonly #little: boolean

  constructor(little: boolean) {
    this.#little = little
  }

  u16(...values: number[]): Buffer {
    const out = Buffer.alloc(2 * values.length)
    values.forEach(
      (value, i) => void (this.#little ? out.writeUInt16LE(value, 2 * i) : out.writeUInt16BE(value, 2 * i)),
    )
    return out
  }

  u32(...values: number[]): Buffer {
    const out = Buffer.alloc(4 * values.length)
    values.forEach(
      (value, i) => void (this.#little ? out.writeUInt32LE(value, 4 * i) : out.writeUInt32BE(value, 4 * i)),
    )
    return out
  }

  u64(value: bigint): Buffer {
    const out = Buffer.alloc(8)
    if (this.#little) out.writeBigUInt64LE(value)
    else out.writeBigUInt64BE(value)
    return out
  }

  option(code: number, value: Uint8Array | string): Buffer {
    const bytes = Buffer.from(value as string)
    return Buffer.concat([this.u16(code, bytes.length), padded(bytes)])
  }

  block(type: number, ...parts: Uint8Array[]): Buffer {
    const body = Buffer.concat(parts)
    const size = 12 + body.length
    return Buffer.concat([this.u32(type, size), body, this.u32(size)])
  }

  section(...options: Buffer[]): Buffer {
    const header = [this.u32(0x1a2b3c4d), this.u16(1, 0), this.u32(0xffffffff, 0xffffffff)]
    return this.block(0x0a0d0d0a, ...header, ...options)
  }

  interface(linkType = 1, snapshotLength = 0, ...options: Buffer[]): Buffer {
    return this.block(1, this.u16(linkType, 0), this.u32(snapshotLength), ...options)
  }

  packet(index: number, time: bigint, data: Uint8Array, original = data.length, ...options: Buffer[]): Buffer {
    const halves = this.u32(Number(time >> 32n), Number(time & 0xffffffffn))
    return this.block(6, this.u32(index), halves, this.u32(data.length, original), padded(data), ...options)
  }
}

export function padded(bytes: Uint8Array): Buffer {
  return Buffer.concat([bytes, Buffer.alloc(-bytes.length & 3)])
}
