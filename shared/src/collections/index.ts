export { ConnectionSlots, type HeldConnection } from './connection-slots.ts'
export { NumberedTable, type Numbered } from './numbered-table.ts'
export { NOWHERE, PlacedSet, type Placed } from './placed-set.ts'
export { sortInParts, type Compare } from './sort-in-parts.ts'
