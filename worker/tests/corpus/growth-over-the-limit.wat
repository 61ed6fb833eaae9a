;; Growth beyond the task's limit is the end, at the same page everywhere.
(module
  (import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 2)
  (func $print (param $ptr i32) (param $len i32)
    (i32.store (i32.const 65536) (local.get $ptr))
    (i32.store (i32.const 65540) (local.get $len))
    (drop (call $fd_write (i32.const 1) (i32.const 65536) (i32.const 1) (i32.const 65544))))
  (func (export "_start")
    (loop $more
      (i32.store (i32.const 0) (memory.grow (i32.const 3)))
      (call $print (i32.const 0) (i32.const 4))
      (br $more))))
