/** Every kind that has a table: importing this makes them known. */
import './bridge.js'
import './tun.js'
import './veth.js'
