/** Every kind that has a table: importing this makes them known. */
import './bridge.js'
import './macvlan.js'
import './tun.js'
import './veth.js'
import './vlan.js'
