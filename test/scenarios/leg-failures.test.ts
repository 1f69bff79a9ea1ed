import t from 'tap';
import { LEG_FAILURE_SCENARIOS } from '../../src/sim/scenarios/leg-failures.ts';
import { sweepScenarios } from './sweep-scenarios.ts';

sweepScenarios(t, LEG_FAILURE_SCENARIOS);
