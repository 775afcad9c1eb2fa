// A life with what a small firmware may leave out: Verify, Reverse
// Synchronization, the ways out of a restore, a set. A part that the library was
// built without refuses, and is passed over.

#ifndef PARTS_H
#define PARTS_H

void parts_life(void);

#endif
