/** Every kind that has a file: importing this makes them known. */
import './flower.js'
import './simple.js'
import './u32.js'
