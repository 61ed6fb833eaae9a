//! Modules written byte for byte: bombs that text would take too long to say.
//!
//! Each is a valid module unless its name says otherwise. What a compiler makes of it is another matter.

/// Bytes of a section that is large, and still quick to bring to a worker.
const LARGE: usize = 30 << 20;

const TYPES: u8 = 1;
const IMPORTS: u8 = 2;
const FUNCTIONS: u8 = 3;
const MEMORIES: u8 = 5;
const EXPORTS: u8 = 7;
const ELEMENTS: u8 = 9;
const CODE: u8 = 10;
const DATA: u8 = 11;

const FUNC: u8 = 0x60;
const I32: u8 = 0x7f;
const I64: u8 = 0x7e;
const IF: u8 = 0x04;
const I64_CONST: u8 = 0x42;
const I64_EQZ: u8 = 0x50;
const I64_ADD: u8 = 0x7c;
const I64_MUL: u8 = 0x7e;
const EMPTY: u8 = 0x40;
const BLOCK: u8 = 0x02;
const LOOP: u8 = 0x03;
const END: u8 = 0x0b;
const BR_IF: u8 = 0x0d;
const BR_TABLE: u8 = 0x0e;
const LOCAL_GET: u8 = 0x20;
const LOCAL_SET: u8 = 0x21;

/// One function that does nothing, besides `count` more of the kind.
pub(crate) fn functions(count: u32) -> Vec<u8> {
    let bodies = vec![body(&[], &[]); 1 + count as usize];
    program(&[], &bodies, &[])
}

/// The same, and each may be called from outside: every one gets a second entry.
pub(crate) fn functions_in_tables(count: u32) -> Vec<u8> {
    let bodies = vec![body(&[], &[]); 1 + count as usize];
    // One passive segment that names them all.
    let mut segment = vec![1, 0];
    leb(&mut segment, count);
    (1..=count).for_each(|index| leb(&mut segment, index));
    program(&[], &bodies, &[(ELEMENTS, vector(&[segment]))])
}

/// A jump to one of `targets` places, which are all the same one.
pub(crate) fn jump_table(targets: u32, times: u32) -> Vec<u8> {
    let mut code = Vec::new();
    for _ in 0..times {
        code.extend([BLOCK, EMPTY, LOCAL_GET, 0, BR_TABLE]);
        leb(&mut code, targets);
        (0..targets).for_each(|_| code.push(0));
        code.extend([0, END]);
    }
    program(&[], &[body(&[(1, I32)], &code)], &[])
}

/// A jump table in the middle of `depth` blocks, with another target for each.
pub(crate) fn jump_table_outwards(depth: u32) -> Vec<u8> {
    let mut code = [BLOCK, EMPTY].repeat(depth as usize);
    code.extend([LOCAL_GET, 0, BR_TABLE]);
    leb(&mut code, depth);
    (0..=depth).for_each(|target| leb(&mut code, target));
    for _ in 0..depth {
        code.extend([END, LOCAL_GET, 0, LOCAL_SET, 1]);
    }
    program(&[], &[body(&[(2, I32)], &code)], &[])
}

/// Blocks in blocks.
pub(crate) fn nested(opcode: u8, depth: u32, inside: &[u8]) -> Vec<u8> {
    let mut code = Vec::new();
    for _ in 0..depth {
        code.extend([opcode, EMPTY]);
        code.extend(inside);
    }
    code.extend(vec![END; depth as usize]);
    program(&[], &[body(&[(4, I64), (2, I32)], &code)], &[])
}

pub(crate) fn nested_blocks(depth: u32) -> Vec<u8> {
    nested(BLOCK, depth, &[])
}

/// Loops in loops, each of which may begin anew.
pub(crate) fn nested_loops(depth: u32) -> Vec<u8> {
    nested(LOOP, depth, &[LOCAL_GET, 4, BR_IF, 0])
}

/// Each may leave all of them but for one: an edge from everywhere to everywhere.
pub(crate) fn far_jumps(depth: u32) -> Vec<u8> {
    let mut code = Vec::new();
    for at in 0..depth {
        code.extend([LOOP, EMPTY, LOCAL_GET, 4, BR_IF]);
        leb(&mut code, at / 2);
        code.extend([LOCAL_GET, 0, LOCAL_SET, 1, LOCAL_GET, 2, LOCAL_SET, 0]);
    }
    code.extend(vec![END; depth as usize]);
    program(&[], &[body(&[(4, I64), (2, I32)], &code)], &[])
}

/// Blocks with `values` results each, one after the other.
pub(crate) fn wide_blocks(values: u32, times: u32) -> Vec<u8> {
    let wide = [&[FUNC, 0][..], &leb_of(values), &vec![I64; values as usize]].concat();
    let mut code = Vec::new();
    for _ in 0..times {
        code.extend([BLOCK, 1]);
        (0..values).for_each(|_| code.extend([LOCAL_GET, 0]));
        code.push(END);
        (0..values).for_each(|_| code.extend([LOCAL_SET, 0]));
    }
    program(&[wide], &[body(&[(1, I64)], &code)], &[])
}

/// So many values on the stack while so many branches are taken, all of which are needed in the end.
pub(crate) fn deep_stack(values: u32, branches: u32) -> Vec<u8> {
    let mut code = Vec::new();
    for n in 1..=values {
        code.extend([LOCAL_GET, 0, I64_CONST]);
        leb_signed(&mut code, i64::from(n));
        code.push(I64_MUL);
    }
    for _ in 0..branches {
        code.extend([LOCAL_GET, 4, IF, EMPTY, LOCAL_GET, 1, LOCAL_SET, 2, END]);
    }
    code.extend(vec![I64_ADD; values as usize - 1]);
    code.extend([I64_EQZ, BR_IF, 0]);
    program(&[], &[body(&[(4, I64), (2, I32)], &code)], &[])
}

/// As many loops in loops, and in the innermost all locals change: each loop begins with a value for each.
pub(crate) fn loops_over_locals(depth: u32, count: u32) -> Vec<u8> {
    let mut code = [LOOP, EMPTY].repeat(depth as usize);
    for local in 1..count {
        code.push(LOCAL_GET);
        leb(&mut code, local - 1);
        code.push(LOCAL_SET);
        leb(&mut code, local);
    }
    for _ in 0..depth {
        code.extend([LOCAL_GET, 0, I64_EQZ, BR_IF, 0, END]);
    }
    program(&[], &[body(&[(count, I64)], &code)], &[])
}

/// A jump to the end of any of `depth` blocks, and behind each another local changes: all after it have two
/// values from then on.
pub(crate) fn diagonal(depth: u32) -> Vec<u8> {
    let mut code = [BLOCK, EMPTY].repeat(depth as usize);
    code.extend([LOCAL_GET, 0, BR_TABLE]);
    leb(&mut code, depth - 1);
    (0..depth).for_each(|target| leb(&mut code, target));
    for local in 1..=depth {
        code.extend([END, I64_CONST, 1, LOCAL_SET]);
        leb(&mut code, local);
    }
    for local in 1..=depth {
        code.push(LOCAL_GET);
        leb(&mut code, local);
        code.extend([I64_EQZ, BR_IF, 0]);
    }
    program(&[], &[body(&[(1, I32), (depth, I64)], &code)], &[])
}

/// Jump tables that carry `values` values to each of their targets: nothing to compile, much to check.
pub(crate) fn wide_jump_tables(targets: u32, values: u32, times: u32) -> Vec<u8> {
    let wide = [&[FUNC, 0][..], &leb_of(values), &vec![I64; values as usize]].concat();
    let mut code = Vec::new();
    for _ in 0..times {
        code.extend([BLOCK, 1]);
        (0..values).for_each(|_| code.extend([LOCAL_GET, 0]));
        code.extend([LOCAL_GET, 1, BR_TABLE]);
        leb(&mut code, targets);
        code.extend(vec![0; targets as usize + 1]);
        code.push(END);
        (0..values).for_each(|_| code.extend([LOCAL_SET, 0]));
    }
    program(&[wide], &[body(&[(1, I64), (1, I32)], &code)], &[])
}

/// A function with as many locals as there may be.
pub(crate) fn locals(count: u32) -> Vec<u8> {
    program(&[], &[body(&[(count, I64)], &[])], &[])
}

/// As many imports, each with a type of its own of `values` parameters.
pub(crate) fn strange_imports(count: u32, values: u32) -> Vec<u8> {
    let types = (0..count).map(|n| wide_type(values, n));
    let types: Vec<Vec<u8>> = std::iter::once(vec![FUNC, 0, 0]).chain(types).collect();
    let import = |n: u32| {
        let mut import = vec![22];
        import.extend(b"wasi_snapshot_preview1");
        import.extend([8]);
        import.extend(b"fd_write");
        import.push(0);
        leb(&mut import, 1 + n);
        import
    };
    let imports: Vec<Vec<u8>> = (0..count).map(import).collect();
    let start = exported(count);
    module(&[
        (TYPES, vector(&types)),
        (IMPORTS, vector(&imports)),
        (FUNCTIONS, vec![1, 0]),
        (EXPORTS, vector(&[start])),
        (CODE, vector(&[body(&[], &[])])),
    ])
}

/// Types nobody uses.
pub(crate) fn types(count: u32, values: u32) -> Vec<u8> {
    let types: Vec<Vec<u8>> = (0..count).map(|n| wide_type(values, n)).collect();
    program(&types, &[body(&[], &[])], &[])
}

/// Empty pieces of data, and one that is as large as can be.
pub(crate) fn data(segments: u32, bytes: usize) -> Vec<u8> {
    let piece = |len: usize| {
        let mut piece = vec![0, 0x41, 0, END];
        leb(&mut piece, len as u32);
        piece.resize(piece.len() + len, 7);
        piece
    };
    let mut pieces = vec![piece(0); segments as usize];
    pieces.push(piece(bytes));
    let mut memory = vec![1, 0];
    leb(&mut memory, bytes as u32 / 65_536 + 1);
    program(&[], &[body(&[], &[])], &[(MEMORIES, memory), (DATA, vector(&pieces))])
}

/// Bytes that mean nothing.
pub(crate) fn custom_section() -> Vec<u8> {
    let mut section = vec![1, b'x'];
    section.resize(LARGE, 0);
    program(&[], &[body(&[], &[])], &[(0, section)])
}

/// Ends in the middle of a section that says it is longer than the rest.
pub(crate) fn cut() -> Vec<u8> {
    let mut bytes = functions(1_000);
    bytes.truncate(bytes.len() / 2);
    bytes
}

/// A type with `values` parameters, another one for each `n`.
fn wide_type(values: u32, n: u32) -> Vec<u8> {
    let mut ty = vec![FUNC];
    leb(&mut ty, values);
    ty.extend((0..values).map(|at| if at < 32 && n >> at & 1 == 1 { I64 } else { I32 }));
    ty.push(0);
    ty
}

/// A program of these functions without parameters, the first of which is its beginning.
fn program(more_types: &[Vec<u8>], bodies: &[Vec<u8>], more: &[(u8, Vec<u8>)]) -> Vec<u8> {
    let types: Vec<Vec<u8>> =
        std::iter::once(vec![FUNC, 0, 0]).chain(more_types.iter().cloned()).collect();
    let count = bodies.len();
    let mut functions = leb_of(count as u32);
    functions.resize(functions.len() + count, 0);
    let mut sections = vec![
        (TYPES, vector(&types)),
        (FUNCTIONS, functions),
        (EXPORTS, vector(&[exported(0)])),
        (CODE, vector(bodies)),
    ];
    sections.extend(more.iter().cloned());
    sections.sort_by_key(|(id, _)| *id);
    module(&sections)
}

fn exported(function: u32) -> Vec<u8> {
    let mut export = vec![6];
    export.extend(b"_start");
    export.push(0);
    leb(&mut export, function);
    export
}

fn module(sections: &[(u8, Vec<u8>)]) -> Vec<u8> {
    let mut bytes = b"\0asm\x01\0\0\0".to_vec();
    for (id, section) in sections {
        bytes.push(*id);
        leb(&mut bytes, section.len() as u32);
        bytes.extend(section);
    }
    bytes
}

fn body(locals: &[(u32, u8)], code: &[u8]) -> Vec<u8> {
    let mut inside = leb_of(locals.len() as u32);
    for (count, ty) in locals {
        leb(&mut inside, *count);
        inside.push(*ty);
    }
    inside.extend(code);
    inside.push(END);
    let mut body = leb_of(inside.len() as u32);
    body.extend(inside);
    body
}

fn vector(items: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = leb_of(items.len() as u32);
    items.iter().for_each(|item| bytes.extend(item));
    bytes
}

fn leb_of(value: u32) -> Vec<u8> {
    let mut bytes = Vec::new();
    leb(&mut bytes, value);
    bytes
}

fn leb(bytes: &mut Vec<u8>, mut value: u32) {
    loop {
        let low = value as u8 & 0x7f;
        value >>= 7;
        if value == 0 {
            return bytes.push(low);
        }
        bytes.push(low | 0x80);
    }
}

fn leb_signed(bytes: &mut Vec<u8>, mut value: i64) {
    loop {
        let low = value as u8 & 0x7f;
        value >>= 7;
        let is_last = (value == 0 && low & 0x40 == 0) || (value == -1 && low & 0x40 != 0);
        if is_last {
            return bytes.push(low);
        }
        bytes.push(low | 0x80);
    }
}
