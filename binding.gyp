{
  "variables": {
    # 1: with AddressSanitizer and UndefinedBehaviorSanitizer, 2: with ThreadSanitizer, see scripts/sanitize.mjs.
    "netkit_sanitize%": 0
  },
  "targets": [
    {
      "target_name": "netkit",
      "sources": ["<!@(node -p \"require('fs').readdirSync('src-native').filter((f) => f.endsWith('.cc')).sort().map((f) => 'src-native/' + f).join(' ')\")"],
      "include_dirs": ["<!(node -p \"require('node-addon-api').include_dir\")"],
      "defines": ["NAPI_VERSION=8", "NAPI_DISABLE_CPP_EXCEPTIONS", "NODE_ADDON_API_DISABLE_DEPRECATED", "_GNU_SOURCE"],
      "cflags_cc": ["-std=c++17", "-Wall", "-Wextra", "-Werror", "-fno-exceptions", "-fno-rtti", "-fvisibility=hidden"],
      "conditions": [
        ["netkit_sanitize==1", {
          "cflags_cc!": ["-O3"],
          "cflags_cc": ["-O1", "-g", "-fno-omit-frame-pointer", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"],
          "ldflags": ["-fsanitize=address,undefined"]
        }],
        ["netkit_sanitize==2", {
          "cflags_cc!": ["-O3"],
          "cflags_cc": ["-O1", "-g", "-fno-omit-frame-pointer", "-fsanitize=thread"],
          "ldflags": ["-fsanitize=thread"]
        }],
        ["netkit_sanitize==0", {
          "cflags_cc": ["-O2"]
        }]
      ]
    }
  ]
}
