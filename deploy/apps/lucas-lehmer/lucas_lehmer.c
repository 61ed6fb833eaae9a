/* The Lucas-Lehmer test: is 2^p - 1 prime?
 *
 *   lucas_lehmer P        prints "P prime" or "P composite RESIDUE"
 *
 * s(0) = 4, s(k+1) = s(k)^2 - 2 mod 2^p - 1; for an odd prime p, 2^p - 1 is prime exactly if
 * s(p-2) is 0. RESIDUE is the low 64 bits of s(p-2), 16 hex digits: what the prime hunters of the
 * world compare to check each other's work. If P itself is composite, so is 2^P - 1, and it prints
 * "P composite exponent". Exit code 0 for an answer, 2 for a call it does not understand.
 *
 * Numbers are arrays of 32-bit limbs, lowest first, so that a product of two limbs and two carries
 * fits 64 bits. 2^p is 1 modulo 2^p - 1, so reducing a square is adding its high bits to its low
 * bits. Schoolbook squaring: beyond some 20,000 bits a transform would win, and this is a demo.
 */
#include <stdint.h>
#include <stdio.h>
#include <string.h>

/* Largest exponent: a square takes 5 million limb products, the whole test 10^5 squares. */
#define P_MAX 100000
#define LIMBS ((P_MAX + 31) / 32)

typedef uint32_t limb;

static limb s[LIMBS];
static limb square[2 * LIMBS];

/* Reads a number from 2 to P_MAX; 0 if it is anything else. */
static uint32_t parse(const char *text)
{
    uint32_t n = 0;
    if (*text < '1')
        return 0;
    for (; *text; text++) {
        if (*text < '0' || *text > '9')
            return 0;
        n = n * 10 + (uint32_t)(*text - '0');
        if (n > P_MAX)
            return 0;
    }
    return n < 2 ? 0 : n;
}

static int is_prime(uint32_t n)
{
    for (uint32_t d = 2; d * d <= n; d++)
        if (n % d == 0)
            return 0;
    return 1;
}

/* square = s * s, n limbs to 2 n: every mixed product once, then doubled, then the squares. */
static void square_s(uint32_t n)
{
    memset(square, 0, 2 * n * sizeof(limb));
    for (uint32_t i = 0; i < n; i++) {
        uint64_t carry = 0;
        for (uint32_t j = i + 1; j < n; j++) {
            uint64_t sum = (uint64_t)s[i] * s[j] + square[i + j] + carry;
            square[i + j] = (limb)sum;
            carry = sum >> 32;
        }
        square[i + n] = (limb)carry;
    }
    uint64_t carry = 0;
    limb top = 0;
    for (uint32_t i = 0; i < n; i++) {
        uint64_t product = (uint64_t)s[i] * s[i];
        limb low = square[2 * i], high = square[2 * i + 1];
        uint64_t sum = (uint64_t)(limb)(low << 1 | top) + (limb)product + carry;
        square[2 * i] = (limb)sum;
        sum = (uint64_t)(limb)(high << 1 | low >> 31) + (product >> 32) + (sum >> 32);
        square[2 * i + 1] = (limb)sum;
        carry = sum >> 32;
        top = high >> 31;
    }
}

/* s = s + value at bit 0, in n limbs; the caller knows that it fits. */
static void add_small(uint32_t n, uint64_t value)
{
    for (uint32_t i = 0; value && i < n; i++) {
        value += s[i];
        s[i] = (limb)value;
        value >>= 32;
    }
}

/* Bits p and up of s, which has n limbs, move to the bottom; leaves s at most 2^p - 1. */
static void fold(uint32_t n, uint32_t p)
{
    uint32_t bit = p % 32;
    while (bit && s[n - 1] >> bit) {
        limb high = s[n - 1] >> bit;
        s[n - 1] &= ((limb)1 << bit) - 1;
        add_small(n, high);
    }
}

/* s = square mod 2^p - 1: low p bits plus the bits above. Leaves s at most 2^p - 1. */
static void reduce(uint32_t n, uint32_t p)
{
    uint32_t word = p / 32, bit = p % 32;
    uint64_t carry = 0;
    limb mask = bit ? ((limb)1 << bit) - 1 : ~(limb)0;
    for (uint32_t i = 0; i < n; i++) {
        uint32_t at = i + word;
        limb low = i == n - 1 ? square[i] & mask : square[i];
        limb high = square[at] >> bit;
        if (bit && at + 1 < 2 * n)
            high |= square[at + 1] << (32 - bit);
        carry += (uint64_t)low + high;
        s[i] = (limb)carry;
        carry >>= 32;
    }
    add_small(n, carry); /* only if p is a multiple of 32, where 2^p is one limb further */
    fold(n, p);
}

/* s = s - 2 mod 2^p - 1. Below 2 it is s + (2^p - 1) - 2, and 2^p - 1 itself stands for 0. */
static void subtract_2(uint32_t n, uint32_t p)
{
    uint32_t bit = p % 32;
    limb mask = bit ? ((limb)1 << bit) - 1 : ~(limb)0;
    limb borrow = 2;
    for (uint32_t i = 0; i < n && borrow; i++) {
        limb before = s[i];
        s[i] = before - borrow;
        borrow = before < borrow;
    }
    if (!borrow)
        return;
    /* It went below 0 and now holds s - 2 + 2^(32 n); s - 2 + 2^p - 1 is wanted. */
    s[n - 1] &= mask;
    limb one = 1;
    for (uint32_t i = 0; i < n && one; i++) {
        limb before = s[i];
        s[i] = before - one;
        one = before < one;
    }
}

/* 2^p - 1 is 0: makes it so. */
static void normalise(uint32_t n, uint32_t p)
{
    uint32_t bit = p % 32;
    limb mask = bit ? ((limb)1 << bit) - 1 : ~(limb)0;
    for (uint32_t i = 0; i < n; i++)
        if (s[i] != (i == n - 1 ? mask : ~(limb)0))
            return;
    memset(s, 0, n * sizeof(limb));
}

static int is_zero(uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        if (s[i])
            return 0;
    return 1;
}

/* Leaves s(p-2) in s. */
static void lucas_lehmer(uint32_t p)
{
    uint32_t n = (p + 31) / 32;
    s[0] = 4;
    normalise(n, p);
    for (uint32_t step = 2; step < p; step++) {
        square_s(n);
        reduce(n, p);
        subtract_2(n, p);
        normalise(n, p);
    }
}

int main(int argc, char **argv)
{
    uint32_t p = argc == 2 ? parse(argv[1]) : 0;
    if (!p) {
        fprintf(stderr, "usage: lucas_lehmer P, where P is a number from 2 to %d\n", P_MAX);
        return 2;
    }
    if (!is_prime(p)) {
        printf("%u composite exponent\n", p);
        return 0;
    }
    if (p == 2) { /* 3 is prime; the test is for odd p only */
        printf("2 prime\n");
        return 0;
    }
    lucas_lehmer(p);
    uint32_t n = (p + 31) / 32;
    if (is_zero(n))
        printf("%u prime\n", p);
    else
        printf("%u composite %08x%08x\n", p, n > 1 ? s[1] : 0, s[0]);
    return 0;
}
