/** Every kind that has a file: importing this makes them known. */
import './gact.js'
import './mirred.js'
import './police.js'
import './skbedit.js'
import './vlan.js'
