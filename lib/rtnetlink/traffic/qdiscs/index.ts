/** Every kind that has a file: importing this makes them known. */
import './fair.js'
import './fifo.js'
import './htb.js'
import './netem.js'
import './tbf.js'
