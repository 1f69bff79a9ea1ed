import t from 'tap';
import { WRITE_SCENARIOS } from '../../src/sim/scenarios/writes.ts';
import { sweepScenarios } from './sweep-scenarios.ts';

sweepScenarios(t, WRITE_SCENARIOS);
