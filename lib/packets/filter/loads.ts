/** Loads of numbers from a frame. */
import type { Load } from './expression.js'
import { bpf, step } from './instructions.js'

/** How many bytes a load takes. */
export type LoadSize = 1 | 2 | 4

const sizes = { 1: bpf.BPF_B, 2: bpf.BPF_H, 4: bpf.BPF_W } as const

/** The number at a place, and of that the bits of a mask. */
export function load(offset: number, size: LoadSize, mask?: number): Load {
  const code = [step(bpf.BPF_LD | sizes[size] | bpf.BPF_ABS, offset)]
  const isWhole = mask === undefined || mask === 2 ** (8 * size) - 1
  if (!isWhole) code.push(step(bpf.BPF_ALU | bpf.BPF_AND | bpf.BPF_K, mask))
  return { key: `${offset}:${size}${isWhole ? '' : ` & ${mask}`}`, code, needs: offset + size }
}

/** What the kernel knows of the frame, at a place behind SKF_AD_OFF, and of that the bits of a mask. */
export function besideLoad(place: number, size: LoadSize, mask?: number): Load {
  return { ...load(bpf.SKF_AD_OFF + place, size, mask), needs: 0 }
}
