;; Bulk operations move many bytes in one instruction; what they cost must not depend on how.
(module
  (import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 2)
  (func $print (param $ptr i32) (param $len i32)
    (i32.store (i32.const 65536) (local.get $ptr))
    (i32.store (i32.const 65540) (local.get $len))
    (drop (call $fd_write (i32.const 1) (i32.const 65536) (i32.const 1) (i32.const 65544))))
  (func (export "_start")
    (memory.fill (i32.const 0) (i32.const 171) (i32.const 60000))
    (memory.copy (i32.const 1000) (i32.const 999) (i32.const 30000))
    (i32.store8 (i32.const 5) (i32.const 1))
    (memory.copy (i32.const 3) (i32.const 0) (i32.const 50000))
    (call $print (i32.const 0) (i32.const 64))
    ;; Half of it lies outside: nothing is written.
    (memory.fill (i32.const 131000) (i32.const 1) (i32.const 1000))))
