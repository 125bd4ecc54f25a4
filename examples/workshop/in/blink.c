/* The lamp of an Arduino: bit 5 of port B. */
#define PORTB (*(volatile unsigned char *)0x25)

void toggle(void) {
    PORTB ^= 1 << 5;
}
